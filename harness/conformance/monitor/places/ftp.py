"""FTP: uploads with ftplib, user and password, temporary name and rename.

A monitor may also read the same server through fsspec. FTP is the only file system of fsspec that
needs no other package and can be broken on the wire.
"""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, Optional

from harness.remotes.ftp import habits as ftp_habits
from harness.remotes.ftp import server as ftp_server
from harness.remotes.ftp.local import LocalFtp
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.waits import wait_for

from .base import Folder, Reader
from .local import LocalPlace


class FtpFolder(Folder):
    """A folder of the user's.

    ``disk`` is where the server keeps it. ``login`` has upstream's options for the uploader. Times
    are set on the server's disk, because the server does not let users change them.
    """

    def __init__(self, path: str, disk: Path, login: Mapping[str, str]) -> None:
        self.path = path
        self.disk = disk
        self.login = login
        self.options = login

    def _connect(self) -> ftplib.FTP:
        ftp = ftplib.FTP(timeout=10)
        ftp.connect(self.login["ftp_host"], int(self.login["ftp_port"]))
        ftp.login(self.login["ftp_username"], self.login["ftp_password"])
        ftp.cwd(self.path)
        return ftp

    def put(self, name: str, data: bytes, *, second: Optional[int] = None) -> None:
        with self._connect() as ftp:
            ftp.storbinary(f"STOR .{name}.part", io.BytesIO(data))
            if second is not None:
                os.utime(self.disk / f".{name}.part", (second, second))
            ftp.rename(f".{name}.part", name)

    def put_folder(self, name: str, members: Mapping[str, bytes]) -> None:
        with self._connect() as ftp:
            beside = f".{name}.part"
            ftp.mkd(beside)
            for path, data in members.items():
                ftp.storbinary(f"STOR {beside}/{path}", io.BytesIO(data))
            # FTP has no rename over a folder: it is gone for a moment.
            if name in ftp.nlst():
                for path in ftp.nlst(name):
                    ftp.delete(f"{name}/{path.rpartition('/')[2]}")
                ftp.rmd(name)
            ftp.rename(beside, name)

    def remove(self, name: str) -> None:
        with self._connect() as ftp:
            ftp.delete(name)

    def second(self, name: str) -> int:
        return int((self.disk / name).stat().st_mtime)

    def touch(self, name: str, second: int) -> None:
        os.utime(self.disk / name, (second, second))


@contextlib.contextmanager
def foreign_server(reader: Reader) -> Iterator[None]:
    """Serve the reader's folder once more, by a server of other habits (``habits.Foreign``).

    The monitor then gets this server's address.
    """
    assert isinstance(reader.remote, FtpFolder)
    port, login = free_port(), reader.remote.login
    argv = [sys.executable, "-m", ftp_server.__name__, "--like", ftp_habits.Foreign.__name__]
    argv += ["--folder", str(reader.remote.disk.parent), "--port", str(port)]
    who = {
        "FTP_SERVER_USER": login["ftp_username"],
        "FTP_SERVER_PASSWORD": login["ftp_password"],
    }
    reader.options["ftp_port"] = str(port)
    log = reader.folder / "foreign-ftp.log"
    with Process("the foreign server", argv, log=log, env={**os.environ, **who}) as server:
        wait_for(lambda: is_listening(port), "the server", 20, alive=server.check)
        yield


class FtpPlace(LocalPlace):
    """One FTP server with a user and a password."""

    name = "ftp"

    def __init__(self, folder: Path) -> None:
        self._ftp = LocalFtp(folder)
        super().__init__(self._ftp)

    def _make_folder(self, name: str, options: Mapping[str, str]) -> FtpFolder:
        disk = self._ftp.folder / "data" / name
        disk.mkdir()
        return FtpFolder(f"/{name}", disk, options)

    @contextlib.contextmanager
    def refusing(self, reader: Reader) -> Iterator[Callable[[], int]]:
        wrong = f"wrong-{self._ftp.password}"
        reader.options["ftp_password"] = wrong
        reader.set_secret(wrong)

        def refused() -> int:
            # pyftpdlib: [demo] USER 'demo' failed login.
            return sum(log.read_text(errors="replace").count("failed login") for log in self.logs)

        before = refused()
        yield lambda: refused() - before

    @contextlib.contextmanager
    def trusting(self, reader: Reader) -> Iterator[None]:
        reader.set_secret(self._ftp.password)
        yield


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
    # fsspec reads each block of a file (4 MiB with our monitor) in a transfer of its own.
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


PLACES = (FtpPlace, FsspecPlace)
