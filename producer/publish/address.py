"""Takes the ``--remote`` URL apart. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import unquote, urlsplit

from ..errors import BadInput

_FORMS = {
    "webhdfs": "webhdfs://host:port/path",
    "hdfs": "hdfs://host:port/path",
    "afs": "afs://host:port/path",
    "ftp": "ftp://user@host:port/path",
    "ftps": "ftps://user@host:port/path",
    "ftps-implicit": "ftps-implicit://user@host:port/path",
    "file": "file:///path",
}
_PORTS = {
    "webhdfs": 9870,
    "hdfs": 8020,
    "afs": 9902,
    "ftp": 21,
    "ftps": 21,
    "ftps-implicit": 990,
    "file": 0,
}


@dataclass(frozen=True)
class Address:
    """Where releases go. ``path`` is absolute, without a slash at its end (but for the root)."""

    # Such as ``webhdfs``; it decides how to publish.
    scheme: str
    # The server.
    host: str
    # The server's port.
    port: int
    path: str
    # The URL's user, if it has one.
    user: Optional[str] = None
    # The URL's password, if it has one.
    password: Optional[str] = field(default=None, repr=False)

    @property
    def authority(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def of(self, name: str) -> str:
        """Return the absolute path of the file ``name``."""
        return self.path.rstrip("/") + "/" + name

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file://{self.path}"
        user = f"{self.user}:***@" if self.password else f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{self.authority}{self.path}"


def parse(url: str, encoding: str = "utf-8") -> Address:
    """Read a URL whose percent-encoded bytes are text in ``encoding``.

    Raises:
        BadInput: The URL is wrong. The message never quotes a password.
    """

    def plain(text: str) -> str:
        try:
            return unquote(text, encoding, "strict")
        except ValueError:
            raise BadInput(
                f"--remote has bytes that are not {encoding}; give the encoding of the server's "
                "names as --ftp_encoding"
            ) from None

    forms = ", ".join(_FORMS.values())
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadInput(f"--remote is not a URL ({error}); use one of {forms}") from None
    if parts.scheme not in _FORMS:
        raise BadInput(f"--remote has the unknown scheme {parts.scheme!r}; use one of {forms}")
    form = _FORMS[parts.scheme]
    if parts.query or parts.fragment:
        raise BadInput(f"--remote has a query or a fragment and may have none; write {form}")
    path = plain(parts.path)
    if not path.startswith("/"):
        raise BadInput(f"--remote has no absolute path; write {form}")
    if any(ord(character) < 32 for character in unquote(url)):
        raise BadInput(f"--remote has a control character in it; write {form}")
    path = path.rstrip("/") or "/"
    if parts.scheme == "file":
        if parts.hostname not in (None, "localhost"):
            raise BadInput(
                f"--remote names the host {parts.hostname} for a local folder; write {form}"
            )
        return Address("file", "", 0, path)
    if not parts.hostname:
        raise BadInput(f"--remote has no host; write {form}")
    return Address(
        parts.scheme,
        parts.hostname,
        port if port is not None else _PORTS[parts.scheme],
        path,
        plain(parts.username) if parts.username else None,
        plain(parts.password) if parts.password else None,
    )
