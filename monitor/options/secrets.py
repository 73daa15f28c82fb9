"""Secrets that print as ``***``, and where they may come from: an option, a file, the environment.

Whatever formats, logs or raises a ``Secret`` shows stars; only ``reveal`` gives the value. If a
library's exception quotes the value, ``mask`` replaces it.

One scheme for all: the option ``--NAME`` itself, the file that ``--NAME_file`` names, the variable
``SERVING_MONITOR_NAME``; the first that is given counts.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Sequence
from typing import Optional
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies_environment

from ..errors import BadOption
from ..mask import STARS, remember

VARIABLE = "SERVING_MONITOR_"
_ANOTHER = re.compile(r";(?=[a-zA-Z][a-zA-Z0-9+.-]*://)")


class Secret:
    """A value that must not be seen. ``shown`` is printed in its place when it is not empty.

    ``hidden`` are the parts that are secret (all of it, when it is not given).
    """

    def __init__(
        self, value: str = "", shown: str = STARS, hidden: Optional[Sequence[str]] = None
    ) -> None:
        self._value = value
        self._shown = shown if value else ""
        self.hidden: tuple[str, ...] = tuple([value] if hidden is None else hidden)
        for part in self.hidden:
            remember(part)

    def reveal(self) -> str:
        """Return the secret in plain text."""
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
    """Return ``user,password`` (AFS) or ``user,group`` (HDFS) as a secret.

    The text does not say which of the two it is. So only the user is shown.
    """
    user, comma, rest = value.partition(",")
    return Secret(value, f"{user},{STARS}", [rest]) if comma else Secret(value, value, [])


def header(line: str) -> Secret:
    """Return ``Name: value`` as a secret.

    The value is a secret by itself, too, and so are credentials in it.

    Raises:
        ValueError: The line is no header.
    """
    name, colon, value = (part.strip() for part in line.partition(":"))
    if not (name and colon):
        raise ValueError("a header is written 'Name: value'")
    hidden = [line, value]
    if name.lower().endswith("authorization"):
        hidden.append(value.rpartition(" ")[2])
    return Secret(line, STARS, hidden)


def address(text: str) -> Secret:
    """Return an address as a secret, or several with ``;`` between them.

    What stands before an ``@`` is not shown.

    Raises:
        ValueError: No client would understand the address. The text quotes nothing of it.
    """
    hidden, shown = [], []
    for one in _ANOTHER.split(text):
        scheme, there, rest = one.rpartition("://") if "://" not in one else one.partition("://")
        user_info, at, host = rest.rpartition("@")
        shown.append(f"{scheme}{there}{STARS}@{host}" if at else one)
        if at:
            hidden += _parts(user_info)
        try:
            parts = urlsplit(one if there else f"//{one}")
            _ = parts.port, parts.hostname
        except ValueError:
            for part in hidden:
                remember(part)
            raise ValueError(
                "it has no port where one should be; in a user or password write / as %2F, "
                "@ as %40, : as %3A, ? as %3F, # as %23"
            ) from None
    return Secret(text, ";".join(shown), hidden)


# A shorter piece of a path may be an ordinary word, which the log would show as stars.
_SHORTEST_PIECE = 12


def endpoint(text: str) -> Secret:
    """Return an address as a secret. Its path and query are not shown: they may be a key.

    Raises:
        ValueError: It is no address of HTTP. The text quotes nothing of it.
    """
    hidden = address(text).hidden
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("it is no address; give https://HOST/PATH")
    tail = text.partition("://")[2].partition("/")[2]
    pieces = [tail, *re.split(r"[/?&=]", tail)]
    more = [form for one in pieces for form in (one, unquote(one)) if len(form) >= _SHORTEST_PIECE]
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{STARS if tail else ''}"
    return Secret(text, shown, [text, *hidden, *more])


def _parts(user_info: str) -> list[str]:
    """Return the secrets in ``user:password``: itself, the password, and what Basic sends."""
    user, colon, password = user_info.partition(":")
    plain = f"{unquote(user)}:{unquote(password)}"
    found = [user_info, unquote(user_info)]
    if colon:
        found += [password, unquote(password), quote(unquote(password), safe="")]
        found.append(base64.b64encode(plain.encode("utf-8", "surrogateescape")).decode("ascii"))
    return found


# The characters of a query (RFC 3986, 3.4). A client would encode any other character, and the
# signature would no longer fit.
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]+")
# Public parts of signed addresses of Azure, Amazon and Google. As secrets they would turn dates and
# words of the log into stars.
_OPEN = re.compile(
    r"s[vsprte]|srt|spr|sip|expires|versionid|x-(amz|goog)-(algorithm|date|expires|signedheaders)",
    re.IGNORECASE,
)


def query(text: str) -> Secret:
    """Return the query of an address as a secret; ``text`` may begin with ``?``.

    Raises ``ValueError`` (which quotes nothing of it) for text that is no query.
    """
    plain = text.strip()
    plain = plain[1:] if plain.startswith("?") else plain
    hidden = [plain, unquote(plain)]
    for pair in plain.split("&"):
        name, equals, value = pair.partition("=")
        if not _OPEN.fullmatch(name):
            hidden += [value, unquote(value)] if equals else [pair, unquote(pair)]
    secret = Secret(plain, STARS, [part for part in hidden if part])
    if not _QUERY.fullmatch(plain) or "://" in plain.partition("?")[0]:
        raise ValueError(
            "it is not the query of an address; give the part after the ?, such as sv=…&sig=…, and "
            "write other characters than A-Z a-z 0-9 -._~!$&'()*+,;=:@/? as %XX"
        )
    return secret


def from_file(path: str, option: str) -> str:
    """Return the first line of a file. Raise ``BadOption`` if it cannot be read or is empty."""
    return lines_of_file(path, option)[0]


def lines_of_file(path: str, option: str) -> list[str]:
    """Return the lines of a file, the first of them not empty. Raise ``BadOption``."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(1024 * 1024).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadOption(f"cannot read {option} {path}: {why}; give a readable file") from None
    if not lines or not lines[0]:
        raise BadOption(f"the first line of {option} {path} is empty; put the secret there")
    return lines


def know_proxies() -> None:
    """Make the accounts in the variables for proxies (``http_proxy`` and the like) secrets."""
    for value in getproxies_environment().values():
        with contextlib.suppress(ValueError):
            address(value)


def environment_without_secrets() -> dict[str, str]:
    """Return the environment for programs that the monitor starts: without its secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(VARIABLE)}
