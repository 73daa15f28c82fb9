"""A remote that runs already, on this machine or another one, by its URL.

The run publishes to it and never breaks it. What the run publishes stays there.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NoReturn, Optional
from urllib.parse import SplitResult, unquote, urlsplit

from harness.support.errors import BadInput

from .base import Remote
from .registry import RemoteType

_FORMS = (
    "webhdfs://user@host:port/path",
    "ftp://user:password@host:port/path",
    "http://host:port/path",
    "https://host:port/path",
)
# By scheme: what the remote is called, and the monitor's --type.
_KINDS = {
    "webhdfs": ("hdfs", "webhdfs"),
    "ftp": ("ftp", "ftp"),
    "http": ("http", "general"),
    "https": ("http", "general"),
}


class ExistingRemote(Remote):
    """Its class attributes say where it is; ``existing`` makes such a class."""

    services: ClassVar[tuple[str, ...]] = ()
    address: ClassVar[SplitResult]
    # Where releases of an HTTP server are put.
    publish_dir: ClassVar[Optional[Path]] = None

    def __init__(self, folder: Path, *, path: str = "/", mark: str = "") -> None:
        super().__init__(folder, path=unquote(self.address.path) or path, mark=mark)

    def start(self, service: Optional[str] = None) -> None:
        """Do nothing: it runs."""

    def ready(self, deadline_s: float = 60.0) -> None:
        """Do nothing: the producer is the first to ask it, and says what is wrong."""

    def probe(self) -> None:
        """Do nothing: a remote of others gets no file but the releases."""

    def stop(self, service: Optional[str] = None) -> None:
        """Do nothing: who started the remote stops it."""

    def kill(self, service: Optional[str] = None) -> None:
        self._not_ours()

    def pause(self, service: Optional[str] = None) -> None:
        self._not_ours()

    def resume(self, service: Optional[str] = None) -> None:
        self._not_ours()

    def disconnect(self, service: Optional[str] = None) -> None:
        self._not_ours()

    def _not_ours(self) -> NoReturn:
        raise BadInput(
            "the remote was not started by this run, so the run does not break it; use a scenario "
            "that leaves the remote alone, or leave out --remote"
        )

    @property
    def url(self) -> str:
        if self.publish_dir is not None:
            return f"file://{self.publish_dir}"
        user = f"{self.address.username}@" if self.address.username else ""
        return f"{self.address.scheme}://{user}{self._host}{self.path}"

    @property
    def _host(self) -> str:
        """``host:port``, without a user."""
        return self.address.netloc.rpartition("@")[2]

    @property
    def producer_environment(self) -> dict[str, str]:
        password = self.address.password
        return {"PRODUCER_FTP_PASSWORD": unquote(password)} if password else {}

    def address_options(self, kind: str) -> list[str]:
        user = unquote(self.address.username or "")
        if kind == "webhdfs":
            return ["--webhdfs_url", f"http://{self._host}", *(["--hdfs_user", user] * bool(user))]
        if kind == "general":
            return ["--general_host", f"{self.address.scheme}://{self._host}"]
        host = self.address.hostname or ""
        options = ["--ftp_host", host, "--ftp_port", str(self.address.port or 21)]
        if user:
            options += ["--ftp_username", user]
            options += ["--ftp_password", unquote(self.address.password or "")]
        return options

    @property
    def logs(self) -> list[Path]:
        return []


def existing(url: str, publish_dir: Optional[Path], uploads: bool = False) -> RemoteType:
    """Return the remote at ``url``.

    Args:
        url: One of the forms that the error names.
        publish_dir: The folder that an HTTP server serves; for HTTP alone, which takes no uploads.
        uploads: Whether another producer's command uploads to the HTTP server.

    Raises:
        BadInput: The URL is wrong, or does not fit ``publish_dir``.
    """
    try:
        address = urlsplit(url)
        port = address.port or 0
    except ValueError as error:
        raise BadInput(f"--remote is no URL ({error}); use {' or '.join(_FORMS)}") from None
    if address.scheme not in _KINDS or not address.hostname:
        raise BadInput(f"--remote is no URL of a remote; use {' or '.join(_FORMS)}")
    name, kind = _KINDS[address.scheme]
    if kind == "webhdfs" and not port:
        raise BadInput("--remote webhdfs://… has no port; give the port of WebHDFS, usually 9870")
    if kind == "general" and publish_dir is None and not uploads:
        raise BadInput(
            f"--remote {address.scheme}://… takes no uploads of our producer; name the folder that "
            "it serves with --publish-dir, or a command that publishes with --producer-cmd"
        )
    if kind != "general" and publish_dir is not None:
        raise BadInput(f"--publish-dir is for HTTP; the run uploads to {address.scheme}:// itself")
    if publish_dir is not None and not publish_dir.is_dir():
        raise BadInput(f"--publish-dir {publish_dir} is no folder; name the folder that is served")
    attributes = {
        "name": name,
        "monitor_kinds": (kind,),
        "address": address,
        "publish_dir": publish_dir.absolute() if publish_dir else None,
    }
    return RemoteType(type("Existing", (ExistingRemote,), attributes))
