"""HDFS: published through WebHDFS, read by the monitor through a hadoop command or WebHDFS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from harness.remotes.hdfs.local import LocalHdfs

from .base import Folder, Reader
from .local import LocalPlace, as_mapping

_STRANGER = "stranger"


class HdfsFolder(Folder):
    """A folder of a real HDFS."""

    def __init__(self, path: str, client: Any, options: Mapping[str, str]) -> None:
        self.path = path
        self.options = options
        self._client = client

    def put(self, name: str, data: bytes, *, second: Optional[int] = None) -> None:
        beside, target = f"{self.path}/.{name}.part", f"{self.path}/{name}"
        self._client.write(beside, data, overwrite=True)
        if second is not None:
            self._client.set_times(beside, second * 1000, second * 1000)
        # The client's rename() knows no options, and without this one it does not overwrite.
        self._client._rename(beside, destination=target, renameoptions="OVERWRITE")

    def put_folder(self, name: str, members: Mapping[str, bytes]) -> None:
        beside, target = f"{self.path}/.{name}.part", f"{self.path}/{name}"
        for path, data in members.items():
            self._client.write(f"{beside}/{path}", data, overwrite=True)
        self._client.delete(target, recursive=True)
        self._client.rename(beside, target)

    def remove(self, name: str) -> None:
        self._client.delete(f"{self.path}/{name}")

    def second(self, name: str) -> int:
        return int(self._client.status(f"{self.path}/{name}")["modificationTime"]) // 1000

    def touch(self, name: str, second: int) -> None:
        self._client.set_times(f"{self.path}/{name}", second * 1000, second * 1000)

    def let_all_read(self) -> None:
        self._client.set_permission(self.path, "755")


class HdfsPlace(LocalPlace):
    """NameNode and DataNode; the monitor runs a hadoop command, one JVM a poll."""

    name = "hdfs"
    kind: Optional[str] = "hdfs"
    # With a shorter interval the machine would do nothing but run JVMs.
    interval_s = 4.0
    poll_s = 6.0
    # Look, read, pull, look again: four JVMs and more, on a machine that has other work, too.
    install_s = 40.0
    length = 4.0
    # A thousand would be two hours of JVMs.
    most_releases: Optional[int] = 25

    def __init__(self, folder: Path) -> None:
        self._over(LocalHdfs(folder, permissions=True))

    @classmethod
    def over(cls, hdfs: LocalHdfs) -> HdfsPlace:
        """Return a place over an HDFS that another part of the program starts and stops."""
        place = cls.__new__(cls)
        place._over(hdfs)
        return place

    def _over(self, hdfs: LocalHdfs) -> None:
        self._hdfs = hdfs
        super().__init__(hdfs)

    def _make_folder(self, name: str, options: Mapping[str, str]) -> HdfsFolder:
        self._hdfs.client.makedirs(f"/{name}")
        return HdfsFolder(f"/{name}", self._hdfs.client, options)

    @property
    def as_afs(self) -> Mapping[str, str]:
        """The options that point a monitor with upstream's type ``afs`` to the newest folder."""
        return as_mapping(self._hdfs.monitor_options("afs"))

    @contextlib.contextmanager
    def refusing(self, reader: Reader) -> Iterator[Callable[[], int]]:
        """Read as another user than the folder's owner, who alone may enter it.

        Hadoop's simple authentication has no secrets: it believes each user's name.
        """
        assert isinstance(reader.remote, HdfsFolder)
        self._hdfs.client.set_permission(reader.remote.path, "700")
        # A hadoop command takes the user from there, a client of WebHDFS from its option.
        reader.set_environment("HADOOP_USER_NAME", _STRANGER)
        if self.kind == "webhdfs":
            reader.options["hdfs_user"] = _STRANGER
        # The NameNode's log does not show a refusal over WebHDFS; the wire shows both kinds.
        self.seek(f"Permission denied: user={_STRANGER}".encode())
        yield lambda: int(self.found())


class WebHdfsPlace(HdfsPlace):
    """The same HDFS for a monitor that speaks WebHDFS."""

    name = "webhdfs"
    kind = "webhdfs"
    interval_s = 0.0
    poll_s = 0.5
    install_s = 0.0
    length = 1.0
    most_releases = None


PLACES = (HdfsPlace, WebHdfsPlace)
