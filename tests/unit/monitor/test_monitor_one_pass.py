"""A tarball is unpacked while it arrives: no file of it, no byte twice, and bounds that hold."""

from __future__ import annotations

import errno
import gzip
import os
import random
import re
import shutil
import tarfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Callable

import pytest

from harness.support.waits import wait_for
from monitor import disk
from monitor.__main__ import main
from monitor.decisions.machine import Event, State
from monitor.errors import RemoteError
from monitor.live import exchange, recovery
from monitor.release.archive import Limits, Skipped, unpack_stream
from monitor.release.stream import Readable
from monitor.remotes.base import Download, Remote
from monitor.stop import Stop
from monitor.watch.unpacking import Unpacking
from monitor.watch.watch import Watch

from .fixtures import CONF, MODEL, TARBALL, Site, manifest_of, model_files, options_for, tarball
from .kinds import Kind
from .processes import Start, general
from .stepping import MakeWatch, live, nothing_left, poll, release_in, until
from .tarballs import END, member

SIZE = 1_500_000


def large(number: int) -> bytes:
    """A release of several chunks that does not compress."""
    return tarball(model_files(number, SIZE), mode="w")


def members(files: dict[str, bytes]) -> bytes:
    """The members of an archive, without its end."""
    return b"".join(member(f"{MODEL}/{name}", content) for name, content in files.items())


class Cutting:
    """Breaks each transfer of the tarball after so many bytes, and notes what was asked for."""

    def __init__(self, remote: Remote, after: int) -> None:
        self.offsets: list[int] = []
        self.came = 0
        self._after = after
        self._open = remote.open
        remote.open = self.open  # type: ignore[method-assign]

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        download = self._open(name, offset, mark)
        self.offsets.append(download.offset)
        download.chunks = self._cut(download.chunks)
        return download

    def _cut(self, chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        came = 0
        try:
            for chunk in chunks:
                if came >= self._after:
                    raise RemoteError("pull", TARBALL, "the transfer broke", "try again")
                came += len(chunk)
                self.came += len(chunk)
                yield chunk
        finally:
            chunks.close()


@pytest.fixture
def watched(kind: Kind, remote: Remote, tmp_path: Path, quiet: None) -> Iterator[Watch]:
    one = Watch(options_for(tmp_path / "local", **kind.options), remote, Stop())
    one.begin()
    yield one
    one.end()


def put_old(kind: Kind, number: int, packed: bytes) -> None:
    kind.place.publish(number, packed)
    os.utime(kind.place.root / TARBALL, (1_700_000_000, 1_700_000_000))


def with_release_1(watch: MakeWatch, site: Site) -> Watch:
    site.publish(1)
    one = watch()
    assert poll(one) is Event.SWAPPED
    return one


def fail_a_swap(
    one: Watch, site: Site, monkeypatch: pytest.MonkeyPatch, code: int = errno.EACCES
) -> None:
    """Publishes release 2, whose exchange fails."""

    def refuse(source: str, target: str, flags: int) -> None:
        raise OSError(code, os.strerror(code), source)

    site.publish(2)
    with monkeypatch.context() as patch:
        patch.setattr(exchange, "_renameat2", refuse)
        assert poll(one) is Event.MACHINE_FAILED


class TestOverEachRemote:
    """The same over every remote."""

    def test_no_tarball_is_written(self, kind: Kind, watched: Watch, tmp_path: Path) -> None:
        kind.place.publish(1, large(1))
        assert poll(watched) is Event.SWAPPED
        assert release_in(live(tmp_path)) == 1
        assert not (tmp_path / "local" / "_serving_monitor_tmp").exists()

    def test_no_byte_comes_twice_after_lost_connections(
        self, kind: Kind, remote: Remote, watched: Watch, tmp_path: Path
    ) -> None:
        if kind.name == "ftp-old":
            pytest.skip("it tells no time, so a broken transfer begins at zero")
        packed = large(1)
        put_old(kind, 1, packed)
        cutting = Cutting(remote, 400_000)
        assert poll(watched) is Event.REMOTE_FAILED
        (staging,) = (tmp_path / "local").glob(f".{MODEL}.staging-*")
        assert until(watched, Event.SWAPPED)
        assert not staging.exists()
        assert cutting.came == len(packed)
        assert len(cutting.offsets) > 2
        assert cutting.offsets == sorted(set(cutting.offsets))
        assert release_in(live(tmp_path)) == 1
        nothing_left(tmp_path)

    def test_a_wrong_digest_leaves_no_trace(
        self, kind: Kind, watched: Watch, tmp_path: Path
    ) -> None:
        packed = large(1)
        wrong = manifest_of(1, packed[:-1] + b"\1")
        # An archive that is refused may be the right one that arrived damaged.
        for published in (packed, packed[:512] + bytes([255]) * 512 + packed[1024:]):
            kind.place.publish(1, published, donefile=wrong)
            assert poll(watched) is Event.REMOTE_FAILED
            assert "sha256" in str(watched.reporter.error)
            assert [path.name for path in (tmp_path / "local").iterdir()] == [f".{MODEL}.monitor"]
        kind.place.publish(2, large(2))
        assert until(watched, Event.SWAPPED)


HOSTILE = {
    "absolute": member("/tmp/evil", b"x"),
    "climbing": member(f"{MODEL}/../../evil", b"x"),
    "link": member(f"{MODEL}/evil", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "twice": member(f"{MODEL}/model.pdmodel", b"x"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_quarantined_whole_and_leaves_nothing(
    watch: MakeWatch, site: Site, tmp_path: Path, what: str
) -> None:
    site.publish(1)
    one = watch()
    assert poll(one) is Event.SWAPPED
    site.publish(2, members(model_files(2, SIZE)) + HOSTILE[what] + END)
    assert poll(one) is Event.BAD_RELEASE
    nothing_left(tmp_path)
    assert poll(one) is Event.QUARANTINED
    assert release_in(live(tmp_path)) == 1


def test_a_refused_archive_is_bad_only_once_all_its_bytes_are_here(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    packed = member("/evil", b"x") + large(1)
    site.publish(1, packed)
    os.utime(site.root / TARBALL, (1_700_000_000, 1_700_000_000))
    site.cut_after = 600_000
    one = watch()
    assert [poll(one) for _ in range(2)] == [Event.REMOTE_FAILED] * 2
    site.cut_after = None
    assert until(one, Event.BAD_RELEASE)
    assert "absolute" in str(one.reporter.error)
    tarballs = [headers.get("Range") for path, headers in site.seen if path.endswith(TARBALL)]
    assert tarballs == [None, "bytes=600000-", "bytes=1200000-"]


def test_a_link_to_a_skipped_file_is_unpacked_from_a_file(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    params = b"%09d" % 1 + random.Random(1).randbytes(1000)
    rest = members({"model.pdmodel": b"g", "serving_server_conf.prototxt": CONF.encode()})
    linked = member(f"{MODEL}/params.pdiparams", type=tarfile.LNKTYPE, linkname="other/params")
    site.publish(1, member("other/params", params) + rest + linked + END)
    assert poll(watch()) is Event.SWAPPED
    assert (live(tmp_path) / "params.pdiparams").read_bytes() == params
    nothing_left(tmp_path)


def test_a_swap_that_fails_costs_no_second_pull(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = with_release_1(watch, site)
    fail_a_swap(one, site, monkeypatch)
    assert until(one, Event.SWAPPED)
    assert release_in(live(tmp_path)) == 2
    assert len([path for path, _ in site.seen if path.endswith(TARBALL)]) == 2
    nothing_left(tmp_path)


@pytest.mark.parametrize(("keep", "most"), [("0", 2), ("1", 3)])
def test_the_disk_holds_two_releases_at_most_and_one_more_that_is_kept(
    watch: MakeWatch,
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    keep: str,
    most: int,
) -> None:
    local = tmp_path / "local"
    used = [0]
    alive: Callable[[Watch], None] = Watch._alive

    def looked(one: Watch) -> None:
        sizes = [path.stat().st_size for path in local.rglob("*") if path.is_file()]
        used[0] = max(used[0], sum(sizes))
        alive(one)

    monkeypatch.setattr(Watch, "_alive", looked)
    one = watch(keep=keep)
    for number in range(1, 5):
        site.publish(number, large(number))
        assert poll(one) is Event.SWAPPED
    assert (most - 1) * SIZE < used[0] < most * SIZE + 100_000


def test_memory_is_bounded_whatever_the_release_holds(
    start: Start, site: Site, tmp_path: Path
) -> None:
    # 400 MB of zeros, packed as a gzip stream that is repeated: pigz makes such files.
    block = bytes(8 << 20)
    zeros = gzip.compress(block, 1)
    info = tarfile.TarInfo(f"{MODEL}/zeros")
    info.size = 50 * len(block)
    begin = members(model_files(1, SIZE)) + info.tobuf(tarfile.USTAR_FORMAT)
    site.publish(1, gzip.compress(begin) + 50 * zeros + gzip.compress(END))
    peak = tmp_path / "peak"
    command = f"sh -c 'grep VmHWM /proc/$PPID/status > {peak}'"
    one = start(*general(site, tmp_path), "--once", "--max_expansion=2000", "--on_swap", command)
    assert one.end() == 0, one.text
    wait_for(peak.exists, "the peak", 20)
    assert (live(tmp_path) / "zeros").stat().st_size == 50 * len(block)
    (kilobytes,) = re.findall(r"\d+", peak.read_text())
    assert int(kilobytes) < 100_000


def test_a_kill_in_the_middle_of_a_pull_leaves_what_the_next_start_removes(
    start: Start, site: Site, tmp_path: Path
) -> None:
    site.publish(1, large(1))
    site.stall_after = 600_000
    local = tmp_path / "local"
    first = start(*general(site, tmp_path))
    wait_for(lambda: list(local.glob(".*.staging-*/*")), "a file in the staging folder", 30)
    first.process.kill()
    assert first.end() != 0
    site.stall_after = None
    second = start(*general(site, tmp_path), "--once")
    assert second.end() == 0, second.text
    assert release_in(live(tmp_path)) == 1
    nothing_left(tmp_path)


def test_state_of_a_paused_pull_ends_with_the_monitor(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1, large(1))
    os.utime(site.root / TARBALL, (1_700_000_000, 1_700_000_000))
    site.cut_after = 600_000
    one = watch()
    assert poll(one) is Event.REMOTE_FAILED
    assert one.machine.state is State.IDLE
    assert list((tmp_path / "local").glob(f".{MODEL}.staging-*"))
    one.end()
    assert [path.name for path in (tmp_path / "local").iterdir()] == [f".{MODEL}.monitor"]


def staged(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "local").glob(f".{MODEL}.staging-*"))


def paused(watch: MakeWatch, site: Site, packed: bytes, after: int) -> Watch:
    """A monitor whose pull of release 1 broke after so many bytes."""
    site.publish(1, packed)
    os.utime(site.root / TARBALL, (1_700_000_000, 1_700_000_000))
    site.cut_after = after
    one = watch()
    assert poll(one) is Event.REMOTE_FAILED
    site.cut_after = None
    return one


def test_the_packing_does_not_depend_on_the_length_of_the_first_piece(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = paused(watch, site, tarball(model_files(1)), 1)
    assert until(one, Event.SWAPPED), one.reporter.error
    assert release_in(live(tmp_path)) == 1


def test_the_bound_of_expansion_does_not_depend_on_the_pieces(tmp_path: Path) -> None:
    seeded = random.Random(1)
    zeros = b"".join(seeded.randbytes(690) + bytes(199_310) for _ in range(450))
    files = {**model_files(1), "zeros": zeros, "tail": seeded.randbytes(120_000)}
    packed = gzip.compress(members(files) + END, 9)
    limits = Limits(100, 1 << 30, 200)
    for size in (1448, 65_536, 262_144):
        folder = tmp_path / str(size)
        folder.mkdir()

        def unpack(file: Readable, folder: Path = folder) -> Skipped:
            return unpack_stream(
                file, "x", len(packed), str(folder), top=MODEL, limits=limits, proven=True,
                before_file=lambda member: None, alive=lambda: None,
            )  # fmt: skip

        one = Unpacking(str(folder), unpack, Stop())
        for begin in range(0, len(packed), size):
            one.feed(packed[begin : begin + size])
        one.finish()
        assert one.refusal is None, f"pieces of {size} bytes: {one.refusal}"


@pytest.mark.parametrize("gone", ["model.pdmodel", ""])
def test_a_folder_that_lost_files_in_a_pause_is_not_installed(
    watch: MakeWatch, site: Site, tmp_path: Path, gone: str
) -> None:
    folder = member(f"{MODEL}/z/", type=tarfile.DIRTYPE)
    one = paused(watch, site, members(model_files(1, SIZE)) + folder + END, 600_000)
    (staging,) = staged(tmp_path)
    wait_for((staging / "model.pdmodel").exists, "the first file", 20)
    if gone:
        (staging / gone).unlink()
        assert until(one, Event.MACHINE_FAILED)
        assert f"{gone}: another program removed or changed it" in str(one.reporter.error)
    else:
        shutil.rmtree(staging)
    assert until(one, Event.SWAPPED)
    assert {path.name for path in live(tmp_path).iterdir()} > set(model_files(1))
    nothing_left(tmp_path)


def test_a_folder_with_a_read_only_mode_can_be_staged_again(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = with_release_1(watch, site)
    live(tmp_path).chmod(0o555)
    fail_a_swap(one, site, monkeypatch)
    (staging,) = staged(tmp_path)
    assert staging.stat().st_mode & 0o777 == 0o555
    while one.machine.state is not State.STAGE:
        one.step()
    assert staging.stat().st_mode & 0o777 == 0o700
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


def test_after_a_full_disk_in_the_swap_the_folder_goes(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = with_release_1(watch, site)
    fail_a_swap(one, site, monkeypatch, errno.ENOSPC)
    nothing_left(tmp_path)
    assert until(one, Event.SWAPPED)


def test_a_leftover_that_cannot_go_does_not_take_a_paused_pull_along(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "local" / f".{MODEL}.staging-zzzzzzzz"
    stuck.mkdir(parents=True)

    def remove(path: str) -> None:
        if path == str(stuck):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        disk.remove(path)

    monkeypatch.setattr(recovery, "remove", remove)
    one = paused(watch, site, large(1), 600_000)
    assert until(one, Event.SWAPPED)
    tarballs = [headers.get("Range") for path, headers in site.seen if path.endswith(TARBALL)]
    assert tarballs == [None, "bytes=600000-"]


def test_a_whole_folder_that_waits_goes_with_the_process(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = with_release_1(watch, site)
    fail_a_swap(one, site, monkeypatch)
    assert staged(tmp_path)
    # What the guard of the process does when a call blocks.
    one.abandon()
    nothing_left(tmp_path)


def test_a_replaced_release_that_cannot_be_kept_stays_for_the_next_start(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch(keep=1)
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    kept = tmp_path / "local" / f".{MODEL}.monitor" / "kept"
    assert not kept.exists()
    kept.write_text("in the way")
    site.publish(2)
    assert poll(one) is Event.SWAPPED
    (old,) = staged(tmp_path)
    assert release_in(old) == 1


@pytest.mark.parametrize("then", [Event.NO_DONEFILE, Event.ON_HOLD])
def test_a_paused_pull_goes_when_its_release_is_not_to_come(
    watch: MakeWatch, site: Site, tmp_path: Path, then: Event
) -> None:
    one = paused(watch, site, large(1), 600_000)
    if then is Event.NO_DONEFILE:
        (site.root / "donefile").unlink()
    else:
        where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
        assert main(["hold", *where]) == 0
    assert until(one, then)
    assert not staged(tmp_path)
    assert "unpacking" not in {thread.name for thread in threading.enumerate()}


def test_a_thread_that_cannot_start_leaves_no_folder(
    watch: MakeWatch, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish(1)
    one = watch()

    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "unpacking":
            raise RuntimeError("can't start new thread")
        begin(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert poll(one) is Event.MACHINE_FAILED
    assert "raise the limit of threads" in str(one.reporter.error)
    assert not staged(tmp_path)
    assert until(one, Event.SWAPPED)
