"""Anything that fsspec reads, here FTP.

Of the file systems that fsspec has without another package, only FTP can be broken on the wire.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable

from .base import Reader
from .ftp import FtpFolder, FtpPlace


class FsspecFolder(FtpFolder):
    """A folder of the FTP server's, which a monitor is told as one address."""

    def __init__(self, path: str, disk: Path, login: Mapping[str, str]) -> None:
        super().__init__(path, disk, login)
        self.options = self.options_with(login["ftp_password"])

    def options_with(self, password: str) -> dict[str, str]:
        """The monitor's options, with this password in the address."""
        login = self.login
        host = f"{login['ftp_username']}:{password}@{login['ftp_host']}:{login['ftp_port']}"
        return {"type": "fsspec", "remote_url": f"ftp://{host}{self.path}"}


class FsspecPlace(FtpPlace):
    """The FTP server for a monitor that reads it through fsspec."""

    name = "fsspec"
    # Of a file each block is a transfer of its own, of 256 KiB with our monitor.
    stop_at = 100_000
    poll_s = 0.5
    length = 1.5
    most_releases = 100

    def _make_folder(self, name: str, options: Mapping[str, str]) -> FsspecFolder:
        made = super()._make_folder(name, options)
        return FsspecFolder(made.path, made.disk, options)

    @contextlib.contextmanager
    def refusing(self, reader: Reader) -> Iterator[Callable[[], int]]:
        assert isinstance(reader.remote, FsspecFolder)
        with super().refusing(reader) as refused:
            reader.options.update(reader.remote.options_with(reader.options.pop("ftp_password")))
            yield refused
