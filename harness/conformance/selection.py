"""Which cases of a suite a run takes: ``--only`` names them by id."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from harness.support.errors import BadInput


def selected(ids: Sequence[str], only: str) -> list[str]:
    """Return the ids that ``--only`` names, in their order.

    Args:
        ids: Every id, each ``group/name``.
        only: Ids or patterns (``*``), separated by commas. A group or a name alone means all its
            cases. Empty: every id.

    Raises:
        BadInput: A word names no case.
    """
    words = [word.strip() for word in only.split(",") if word.strip()]
    for word in words:
        if not any(_names(word, one) for one in ids):
            raise BadInput(f"--only has {word!r}, which is no case; see --list")
    return [one for one in ids if not words or any(_names(word, one) for word in words)]


def _names(word: str, one: str) -> bool:
    return fnmatch.fnmatchcase(one, word) or word in one.split("/")
