"""The pull: resumed, bounded, rate-limited, and what came wrong is thrown away."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import IO, Any, Optional, cast

import pytest

from monitor import remotes
from monitor.decisions.identity import Identity
from monitor.errors import MachineError, Mismatch, ReleaseError, RemoteError
from monitor.manifest import Manifest
from monitor.remotes.base import CHUNK, Remote
from monitor.stop import Stop, Stopped
from monitor.watch import pull
from monitor.watch.pull import Puller, Throttle, _check_name

from .fixtures import TARBALL, Site, options_for
from .kinds import Kind, make

pytestmark = pytest.mark.usefixtures("quiet")

ONE = Identity("1-a", 1)
BIG = random.Random(5).randbytes(700_000)


def manifest(content: bytes) -> Manifest:
    return Manifest(1, TARBALL, len(content), hashlib.sha256(content).hexdigest(), {})


def puller(site: Site, folder: Path, stop: Stop, rate: int = 0, **options: object) -> Puller:
    made = options_for(folder / "local", general_host=site.url, **options)
    return Puller(remotes.create(made, stop), str(folder / "tmp" / "part"), rate, stop)


def put_old(site: Site, content: bytes) -> None:
    site.put(TARBALL, content)
    os.utime(site.root / TARBALL, (1_700_000_000, 1_700_000_000))


def part(folder: Path) -> bytes:
    return (folder / "tmp" / "part").read_bytes()


def test_a_broken_transfer_goes_on_where_it_broke(site: Site, tmp_path: Path) -> None:
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())
    site.cut_after = 300_000
    for _ in range(2):
        with pytest.raises(RemoteError, match="broke"):
            one.pull_file(TARBALL, ONE, manifest(BIG))
    assert part(tmp_path) == BIG[:600_000]
    site.cut_after = None
    one.pull_file(TARBALL, ONE, manifest(BIG))
    assert part(tmp_path) == BIG
    assert one.bytes_pulled == len(BIG)
    assert [headers.get("Range") for _, headers in site.seen] == [
        None, "bytes=300000-", "bytes=600000-",
    ]  # fmt: skip


def test_what_came_whole_is_not_asked_for_again_until_it_is_forgotten(
    site: Site, tmp_path: Path
) -> None:
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())
    for _ in range(2):
        one.pull_file(TARBALL, ONE, manifest(BIG))
        assert part(tmp_path) == BIG
    assert len(site.seen) == 1
    one.pull_file(TARBALL, Identity("2-b", 2), manifest(BIG))
    assert len(site.seen) == 2
    one.forget()
    one.pull_file(TARBALL, Identity("2-b", 2), manifest(BIG))
    assert part(tmp_path) == BIG
    assert [headers.get("Range") for _, headers in site.seen] == [None, None, None]


@pytest.mark.parametrize("left", [0, 699_999, None])
def test_what_came_whole_and_was_cut_by_a_cleaner_is_pulled_again(
    site: Site, tmp_path: Path, left: Optional[int]
) -> None:
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())
    one.pull_file(TARBALL, ONE, None)
    if left is None:
        (tmp_path / "tmp" / "part").unlink()
    else:
        os.truncate(tmp_path / "tmp" / "part", left)
    one.pull_file(TARBALL, ONE, None)
    assert part(tmp_path) == BIG


@pytest.mark.parametrize("told", [True, False], ids=["its length is told", "it is not"])
def test_a_file_that_is_larger_than_any_release_may_be_is_not_kept(
    site: Site, tmp_path: Path, told: bool
) -> None:
    put_old(site, BIG)
    site.tells_length = told
    one = puller(site, tmp_path, Stop())
    one.largest = len(BIG) - 1
    with pytest.raises(ReleaseError, match="more bytes than --max_unpacked allows"):
        one.pull_file(TARBALL, ONE, None)
    assert (one.bytes_pulled == 0) is told
    assert not (tmp_path / "tmp" / "part").exists()
    one.largest = len(BIG)
    one.pull_file(TARBALL, ONE, None)
    assert part(tmp_path) == BIG


def test_a_pull_that_fills_the_disk_gives_the_space_back(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())

    class Full:
        """A disk with room for 300,000 bytes."""

        def __init__(self, inner: IO[bytes]) -> None:
            self.inner = inner

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.inner.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def write(self, data: bytes) -> int:
            if self.inner.tell() + len(data) > 300_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.inner.write(data)

    real = open
    with monkeypatch.context() as patch:
        patch.setattr(
            pull, "open", lambda *words: Full(cast("IO[bytes]", real(*words))), raising=False
        )
        with pytest.raises(MachineError, match="No space left on device"):
            one.pull_file(TARBALL, ONE, None)
    assert not (tmp_path / "tmp" / "part").exists()
    one.pull_file(TARBALL, ONE, None)
    assert part(tmp_path) == BIG


def test_a_transfer_that_broke_after_its_last_byte_begins_at_zero(
    site: Site, tmp_path: Path
) -> None:
    put_old(site, BIG)
    with make(tmp_path / "local", general_host=site.url) as remote:
        mark = remote.open(TARBALL).mark
        again = remote.open(TARBALL, len(BIG), mark)
        assert again.offset == 0
        assert b"".join(again.chunks) == BIG


@pytest.mark.parametrize("left", [0, 1000, None])
def test_a_part_file_that_a_cleaner_took_or_cut_is_pulled_from_zero(
    site: Site, tmp_path: Path, left: Optional[int]
) -> None:
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())
    site.cut_after = 300_000
    with pytest.raises(RemoteError, match="broke"):
        one.pull_file(TARBALL, ONE, manifest(BIG))
    if left is None:
        (tmp_path / "tmp" / "part").unlink()
    else:
        os.truncate(tmp_path / "tmp" / "part", left)
    site.cut_after = None
    one.pull_file(TARBALL, ONE, manifest(BIG))
    assert part(tmp_path) == BIG


def test_webhdfs_does_not_resume_behind_the_end(site: Site, tmp_path: Path) -> None:
    status = {"type": "FILE", "fileId": 7, "modificationTime": 1, "length": 5}
    site.put(f"webhdfs/v1/{TARBALL}", json.dumps({"FileStatus": status}).encode())
    with make(tmp_path / "local", type="webhdfs", webhdfs_url=site.url) as remote:
        mark = remote.open(TARBALL).mark
        assert remote.open(TARBALL, 4, mark).offset == 4
        assert remote.open(TARBALL, 5, mark).offset == 0


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"<html>", b'{"FileStatus": {}}', b"null"])
def test_an_answer_that_is_not_webhdfs_s_is_the_remote_s_trouble(
    site: Site, tmp_path: Path, answer: bytes
) -> None:
    site.put("webhdfs/v1/donefile", answer)
    with make(tmp_path / "local", type="webhdfs", webhdfs_url=site.url) as remote:
        with pytest.raises(RemoteError):
            remote.look("donefile")
        with pytest.raises(RemoteError):
            remote.open("donefile")


def test_another_release_or_another_file_begins_at_zero(site: Site, tmp_path: Path) -> None:
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())
    site.cut_after = 300_000
    with pytest.raises(RemoteError):
        one.pull_file(TARBALL, ONE, None)
    with pytest.raises(RemoteError):
        one.pull_file(TARBALL, Identity("2-b", 2), None)
    other = BIG[::-1]
    site.put(TARBALL, other)
    site.cut_after = None
    one.pull_file(TARBALL, Identity("2-b", 2), None)
    assert part(tmp_path) == other


@pytest.mark.parametrize("sent", ["ETag", "Last-Modified"])
def test_a_server_that_ignores_if_range_joins_no_two_files(
    site: Site, tmp_path: Path, sent: str
) -> None:
    site.ignores_if_range = True
    site.validators = {sent}
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())
    site.cut_after = 300_000
    with pytest.raises(RemoteError, match="broke"):
        one.pull_file(TARBALL, ONE, None)
    site.cut_after = None
    other = BIG[::-1]
    site.put(TARBALL, other)
    os.utime(site.root / TARBALL, (1_700_000_001, 1_700_000_001))
    one.pull_file(TARBALL, ONE, None)
    assert part(tmp_path) == other
    assert [headers.get("Range") for _, headers in site.seen] == [None, "bytes=300000-", None]


def test_bytes_that_turn_out_wrong_are_thrown_away_with_their_offset(
    site: Site, tmp_path: Path
) -> None:
    put_old(site, BIG)
    one = puller(site, tmp_path, Stop())
    promised = manifest(BIG[:-1] + b"\0")
    with pytest.raises(Mismatch, match="sha256"):
        one.pull_file(TARBALL, ONE, promised)
    assert not (tmp_path / "tmp" / "part").exists()
    with pytest.raises(Mismatch):
        one.pull_file(TARBALL, ONE, promised)
    assert [headers.get("Range") for _, headers in site.seen] == [None, None]


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_size_that_is_not_the_manifest_s_is_not_even_pulled(
    site: Site, tmp_path: Path, difference: int
) -> None:
    put_old(site, BIG)
    promised = Manifest(1, TARBALL, len(BIG) + difference, "0" * 64, {})
    one = puller(site, tmp_path, Stop())
    with pytest.raises(Mismatch, match="the manifest says"):
        one.pull_file(TARBALL, ONE, promised)
    assert one.bytes_pulled == 0


def test_silence_in_the_middle_of_a_transfer_ends_it(site: Site, tmp_path: Path) -> None:
    put_old(site, BIG)
    site.stall_after = 100_000
    with pytest.raises(RemoteError, match="nothing came within the time-out"):
        puller(site, tmp_path, Stop(), timeout="0.3").pull_file(TARBALL, ONE, None)


def test_a_pull_keeps_to_its_rate(site: Site, tmp_path: Path) -> None:
    put_old(site, BIG)
    begun = time.monotonic()
    puller(site, tmp_path, Stop(), rate=1_400_000).pull_file(TARBALL, ONE, None)
    assert time.monotonic() - begun > len(BIG) / 1_400_000 * 0.9


def test_a_pull_that_waits_for_its_rate_ends_at_once_when_asked_to() -> None:
    stop = Stop()
    threading.Timer(0.1, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        Throttle(1, stop).pay(1000)
    assert time.monotonic() - begun < 60


def test_without_room_nothing_is_pulled(site: Site, tmp_path: Path) -> None:
    put_old(site, BIG)
    promised = Manifest(1, TARBALL, 2**62, "0" * 64, {})
    site.validators = set()
    one = puller(site, tmp_path, Stop())
    one._check_announced = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(MachineError, match="bytes are needed and"):
        one.pull_file(TARBALL, ONE, promised)


def test_an_empty_folder_is_no_release(site: Site, tmp_path: Path) -> None:
    (site.root / "folder").mkdir()
    with pytest.raises(RemoteError, match="it is empty"):
        puller(site, tmp_path, Stop()).pull_tree("folder", 100, 10**9)


# --- releases that are folders ---------------------------------------------------------------


def folder_of(kind: Kind, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        kind.place.put(f"m/{name}", content)


class TestAFolder:
    """Bounds of a release that is not packed, the same over every remote."""

    def test_of_as_many_files_as_allowed_is_pulled(
        self, kind: Kind, remote: Remote, tmp_path: Path
    ) -> None:
        folder_of(kind, {"a": b"12", "sub/b": b"345"})
        # Two files and the folder between them.
        Puller(remote, str(tmp_path / "part"), 0, Stop()).pull_tree("m", 3, 5)
        assert (tmp_path / "part.tree" / "sub" / "b").read_bytes() == b"345"

    def test_of_too_many_files_is_refused_before_any_is_pulled(
        self, kind: Kind, remote: Remote, tmp_path: Path
    ) -> None:
        folder_of(kind, dict.fromkeys(("a", "b", "sub/c"), b"x"))
        puller = Puller(remote, str(tmp_path / "part"), 0, Stop())
        with pytest.raises(ReleaseError, match=r"more than 2 files and folders \(--max_members\)"):
            puller.pull_tree("m", 2, 10**9)
        assert puller.bytes_pulled == 0

    def test_of_too_many_bytes_is_refused(self, kind: Kind, remote: Remote, tmp_path: Path) -> None:
        folder_of(kind, {"a": bytes(600_000), "b": bytes(600_000)})
        puller = Puller(remote, str(tmp_path / "part"), 0, Stop())
        with pytest.raises(ReleaseError, match="more bytes than --max_unpacked allows"):
            puller.pull_tree("m", 100, 1_000_000)
        # Where the listing tells no sizes, the pull ends as soon as it is too much.
        assert puller.bytes_pulled <= 1_000_000 + CHUNK

    def test_with_files_that_are_as_large_as_the_disk_is_not_pulled(
        self, kind: Kind, remote: Remote, tmp_path: Path
    ) -> None:
        if kind.name in ("http", "ftp-old"):
            pytest.skip("its listing has no sizes; free space is looked at file by file")
        folder_of(kind, {"a": b"x"})
        free = os.statvfs(tmp_path)
        with (kind.place.root / "m" / "b").open("wb") as file:
            # A hole: longer than all that is free, and next to nothing on the disk.
            file.truncate(4 * free.f_blocks * free.f_frsize)
        puller = Puller(remote, str(tmp_path / "part"), 0, Stop())
        with pytest.raises(MachineError, match="bytes are needed and"):
            puller.pull_tree("m", 100, 2**62)
        assert puller.bytes_pulled == 0


def test_a_file_of_a_folder_that_does_not_fit_is_not_begun(site: Site, tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    (site.root / "m").mkdir()
    (site.root / "m" / "a").write_bytes(b"x")
    site.claimed = 4 * free.f_blocks * free.f_frsize
    one = puller(site, tmp_path, Stop())
    with pytest.raises(MachineError, match="bytes are needed and"):
        one.pull_tree("m", 100, 2**62)
    assert one.bytes_pulled == 0


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "x" * 256, "/".join("d" * 33)])
def test_a_file_of_a_folder_with_an_insane_name_refuses_the_folder(name: str) -> None:
    with pytest.raises(ReleaseError, match="no sane name"):
        _check_name("m", name)
    _check_name("m", "sub/deep/c d")
