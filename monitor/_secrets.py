"""Secrets that print as ``***``, and where they may come from: an option, a file, the environment.

Whatever formats, logs or raises a ``Secret`` shows stars; only ``reveal`` gives the value. What
slips into the text of a library's exception all the same is caught by ``mask``, which the log
runs over every line.
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from .errors import BadOption

STARS = "***"
# All of it: a token may stand where a user's name stands, and a password may hold ":" or "@".
_USERINFO = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/]*@")
_known: set[str] = set()
# Shorter ones would turn ordinary words into stars.
_SHORTEST = 4


class Secret:
    """A value that must not be seen. ``shown`` is printed in its place when it is not empty."""

    def __init__(self, value: str = "", shown: str = STARS) -> None:
        self._value = value
        self._shown = shown if value else ""
        if len(value) >= _SHORTEST:
            _known.update((value, quote(value, safe="")))

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"Secret({self._shown!r})"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def ugi(value: str) -> Secret:
    """``user,password`` (AFS) or ``user,group`` (HDFS): nobody can tell which, so half is shown."""
    user, comma, rest = value.partition(",")
    if not comma:
        return Secret(value, shown=value)
    if len(rest) >= _SHORTEST:
        _known.add(rest)
    secret = Secret("", "")
    secret._value, secret._shown = value, f"{user},{STARS}"
    return secret


def header(line: str) -> Secret:
    """``Name: value``; the value is a secret by itself too, and so are credentials in it."""
    name, _, value = (part.strip() for part in line.partition(":"))
    Secret(value)
    if name.lower().endswith("authorization"):
        Secret(value.rpartition(" ")[2])
    return Secret(line)


def from_file(path: str, option: str) -> Secret:
    """The first line of a file. Raises ``BadOption`` when it cannot be read or is empty."""
    try:
        with open(path, encoding="utf-8") as file:
            value = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadOption(f"cannot read {option} {path}: {why}; give a readable file") from None
    if not value:
        raise BadOption(f"the first line of {option} {path} is empty; put the secret there")
    return Secret(value)


def from_environment(name: str) -> Secret:
    """The value of an environment variable; empty when it is not set."""
    return Secret(os.environ.get(name, ""))


def without_password(url: str) -> str:
    """A URL, or several, with ``***@`` where a user or a password stood."""
    return _USERINFO.sub(rf"\1{STARS}@", url)


def mask(text: str) -> str:
    """``text`` with every secret of this process replaced by stars."""
    # Longest first: one secret may be part of another.
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, STARS)
    return without_password(text)
