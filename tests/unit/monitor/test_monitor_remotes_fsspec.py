"""fsspec: file systems that stall, or lose their connection."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.support.waits import wait_for
from monitor.errors import RemoteError

from .fixtures import TARBALL, FtpSite
from .kinds import make

fsspec = pytest.importorskip("fsspec")

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def stalling() -> Iterator[Any]:
    """A local file system whose calls named in ``stalled`` come back only at the end."""
    from fsspec.implementations.local import LocalFileOpener, LocalFileSystem

    class Opener(LocalFileOpener):  # type: ignore[misc]
        def read(self, *args: Any) -> Any:
            Stalling.wait("read")
            return self.f.read(*args)

    class Stalling(LocalFileSystem):  # type: ignore[misc]
        protocol = "stalling"
        stalled: ClassVar[set[str]] = set()
        over = threading.Event()
        made = 0

        def __init__(self, **options: Any) -> None:
            Stalling.made += 1
            super().__init__(**options)

        @classmethod
        def _strip_protocol(cls, path: str) -> Any:
            return super()._strip_protocol(path.replace("stalling://", ""))

        @classmethod
        def wait(cls, what: str) -> None:
            if what in cls.stalled:
                cls.over.wait(200)

        def _open(self, path: str, mode: str = "rb", **more: Any) -> Any:
            self.wait("open")
            return Opener(path, mode, fs=self)

        def ls(self, path: str, detail: bool = False, **more: Any) -> Any:
            self.wait("ls")
            return super().ls(path, detail=detail, **more)

        def info(self, path: str, **more: Any) -> Any:
            self.wait("info")
            return super().info(path, **more)

    fsspec.register_implementation("stalling", Stalling, clobber=True)
    yield Stalling
    Stalling.over.set()


@pytest.mark.parametrize("call", ["info", "open", "read", "ls"])
def test_a_file_system_that_says_nothing_fails_after_the_time_out(
    stalling: Any, tmp_path: Path, call: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "donefile").write_bytes(b"x")
    options = {"type": "fsspec", "remote_url": f"stalling://{tmp_path}", "timeout": "0.3"}
    with make(tmp_path / "local", **options) as remote:

        def look() -> None:
            """Look until an answer comes in time: the time-out is short for a busy machine."""
            wait_for(lambda: remote.look("donefile"), "the donefile", 20, retry_on=(RemoteError,))

        look()
        stalling.stalled = {call}
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="nothing came within the time-out"):
            remote.tree("folder", 9) if call == "ls" else remote.look("donefile")
        assert time.monotonic() - begun < 60
        stalling.stalled = set()
        # The look does not use the file system that did not answer.
        made = stalling.made
        look()
        assert stalling.made > made


def test_a_pull_that_stalls_in_the_middle_ends_after_the_time_out(
    stalling: Any, tmp_path: Path
) -> None:
    (tmp_path / TARBALL).write_bytes(bytes(700_000))
    options = {"type": "fsspec", "remote_url": f"stalling://{tmp_path}", "timeout": "3"}
    with make(tmp_path / "local", **options) as remote:
        download = remote.open(TARBALL)
        next(download.chunks)
        stalling.stalled = {"read"}
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="nothing came within the time-out"):
            next(download.chunks)
        download.close()
        assert time.monotonic() - begun < 60


def test_a_file_that_blocks_in_the_system_fails_after_the_time_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "donefile")
    options = {"type": "fsspec", "remote_url": f"file://{tmp_path}", "timeout": "0.3"}
    with make(tmp_path / "local", **options) as remote:  # noqa: SIM117
        with pytest.raises(RemoteError, match="nothing came within the time-out"):
            remote.look("donefile")
    # Let the abandoned call return.
    (tmp_path / "donefile").open("wb").close()


def ftp_through_fsspec(site: FtpSite) -> dict[str, str]:
    login = f"{site.USER}:{site.PASSWORD}@127.0.0.1:{site.port}"
    return {"type": "fsspec", "remote_url": f"ftp://{login}"}


def test_a_touched_empty_donefile_is_another_over_ftp_through_fsspec(tmp_path: Path) -> None:
    site = FtpSite(tmp_path)
    try:
        donefile = site.root / "donefile"
        donefile.touch()
        with make(tmp_path / "local", **ftp_through_fsspec(site)) as remote:
            before = remote.look("donefile")
            os.utime(donefile, (2e9, 2e9))
            assert remote.look("donefile") != before
    finally:
        site.close()


@pytest.mark.parametrize("field", ["ETag", "Last-Modified", "Content-MD5", "Digest"])
def test_what_http_tells_of_a_version_is_part_of_the_mark(
    stalling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """A file system answers as fsspec's HTTP does, because its library may not be installed."""
    (tmp_path / "donefile").touch()
    told = {"name": "http://host/donefile", "size": 0, "type": "file", "mimetype": "text/plain"}
    options = {"type": "fsspec", "remote_url": f"stalling://{tmp_path}"}
    with make(tmp_path / "local", **options) as remote:
        marks = []
        for version in ("1", "1", "2"):
            info = {**told, field: version}
            monkeypatch.setattr(stalling, "info", lambda self, path, info=info, **more: info)
            seen = remote.look("donefile")
            assert seen is not None
            marks.append(seen.mark)
        assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize("tag", [{}, {"ETag": "one"}])
def test_a_time_that_changes_in_every_answer_ends_no_pull(
    stalling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: dict[str, str]
) -> None:
    (tmp_path / TARBALL).write_bytes(bytes(1000))
    times = itertools.count()

    def info(self: Any, path: str, **more: Any) -> dict[str, Any]:
        return {
            "name": path,
            "size": 1000,
            "type": "file",
            "Last-Modified": str(next(times)),
            **tag,
        }

    monkeypatch.setattr(stalling, "info", info)
    options = {"type": "fsspec", "remote_url": f"stalling://{tmp_path}"}
    with make(tmp_path / "local", **options) as remote:
        assert b"".join(remote.open(TARBALL).chunks) == bytes(1000)
        marks = [seen.mark for seen in (remote.look(TARBALL), remote.look(TARBALL)) if seen]
        assert (marks[0] == marks[1]) == bool(tag)


def test_no_pull_goes_on_in_a_file_of_which_only_the_size_is_known(
    stalling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / TARBALL).write_bytes(bytes(1000))
    only = {"name": str(tmp_path / TARBALL), "size": 1000, "type": "file"}
    monkeypatch.setattr(stalling, "info", lambda self, path, **more: only)
    options = {"type": "fsspec", "remote_url": f"stalling://{tmp_path}"}
    with make(tmp_path / "local", **options) as remote:
        download = remote.open(TARBALL)
        assert download.mark == "", "a file is taken for the same by its size"
        download.close()


def test_a_file_that_is_replaced_between_two_blocks_is_not_taken_for_whole(
    tmp_path: Path,
) -> None:
    site = FtpSite(tmp_path)
    try:
        tarball = site.root / TARBALL
        tarball.write_bytes(bytes(700_000))
        os.utime(tarball, (1e9, 1e9))
        with make(tmp_path / "local", **ftp_through_fsspec(site)) as remote:
            download = remote.open(TARBALL)
            next(download.chunks)
            replacement = site.root / "replacement"
            replacement.write_bytes(b"1" * 700_000)
            replacement.rename(tarball)
            with pytest.raises(RemoteError, match="replaced while it was read"):
                list(download.chunks)
            download.close()
    finally:
        site.close()
