"""The secrets of this process, and ``mask``, which takes them out of any text.

Errors mask themselves, and the log and the command line mask what they print. ``mask`` replaces a
known secret wherever and however it is written. In every address it replaces what stands before the
last ``@``, known or not.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote, quote_plus

STARS = "***"
_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]*://"
# Up to the last @ of the word: a password may hold "/", ":" or "@" that is not written as %2F. A
# token may stand where a user's name stands. Another address may follow a ";".
_USERINFO = re.compile(rf"(\b{_SCHEME})(?:(?!;{_SCHEME})\S)*@")
# Shorter ones would turn ordinary words into stars.
SHORTEST = 4
_known: set[str] = set()


def remember(value: str) -> None:
    """Make ``value`` a secret of this process, in every way in which it may be written."""
    if len(value) < SHORTEST:
        return
    _known.update(
        (
            value,
            quote(value),
            quote(value, safe=""),
            quote_plus(value),
            # As in the text of another exception, or in a line of JSON.
            repr(value)[1:-1],
            ascii(value)[1:-1],
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            " ".join(value.split()),
        )
    )


def without_password(text: str) -> str:
    """Return ``text`` with ``***@`` where a user or a password stands in an address."""
    return _USERINFO.sub(rf"\1{STARS}@", text)


def mask(text: str) -> str:
    """Return ``text`` with every secret of this process replaced by stars."""
    # Longest first: one secret may be part of another.
    for value in sorted(_known, key=len, reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, STARS)
    return without_password(text)
