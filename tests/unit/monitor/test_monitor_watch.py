"""One watched model, stepped against a real HTTP server: what is promised in docs/monitor.md."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from harness.support.waits import wait_for
from monitor import remotes
from monitor.decisions.machine import Event, State
from monitor.errors import BadOption
from monitor.live.state import read_installed
from monitor.process import once
from monitor.stop import Stop
from monitor.watch.watch import Watch

from .fixtures import MODEL, TARBALL, Site, manifest_of, model_files, tarball
from .stepping import MakeWatch, live, nothing_left, poll, release_in, second, until


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_a_release_is_installed_whole_with_state_and_time_file(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    assert poll(watch()) is Event.SWAPPED
    assert sorted(p.name for p in live(tmp_path).iterdir()) == [
        ".monitor-state.json", "fluid_time_file", "model.pdmodel", "params.pdiparams",
        "serving_server_conf.prototxt", "serving_server_conf.stream.prototxt",
    ]  # fmt: skip
    assert release_in(live(tmp_path)) == 1
    nothing_left(tmp_path)


def test_the_info_messages_after_a_change_are_the_page_s_in_its_order(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    site.publish(1)
    one = watch(interval="10")
    start = len(lines)
    poll(one)
    one._stop.set()
    one.step()
    assert [line for line in lines[start:] if line.startswith("INFO")] == [
        "INFO doneilfe(donefile) changed.",
        f"INFO pull remote model({TARBALL}).",
        f"INFO unpack remote file({TARBALL}).",
        f"INFO using unpacked filename: {MODEL}.",
        f"INFO update local model({MODEL}).",
        "INFO update model timestamp(fluid_time_file).",
        "INFO sleep 10s.",
    ]


def test_what_is_installed_is_not_pulled_again_not_even_after_a_restart(
    watch: MakeWatch, site: Site
) -> None:
    site.publish(1)
    one = watch()
    assert poll(one) is Event.SWAPPED
    assert poll(one) is Event.INSTALLED
    assert poll(watch()) is Event.INSTALLED
    assert [path for path, _ in site.seen].count(f"/{TARBALL}") == 1


def test_a_touch_of_a_donefile_with_a_manifest_pulls_nothing(watch: MakeWatch, site: Site) -> None:
    site.publish(1)
    one = watch()
    poll(one)
    os.utime(site.root / "donefile", (1, 1))
    assert poll(one) is Event.INSTALLED


def test_a_touch_of_a_plain_donefile_is_a_new_release_if_the_tarball_is(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1, donefile=b"")
    one = watch()
    assert poll(one) is Event.SWAPPED
    assert poll(one) is Event.INSTALLED
    before = second(live(tmp_path))
    os.utime(site.root / "donefile", (1, 1))
    assert poll(one) is Event.SAME
    assert second(live(tmp_path)) == before
    assert poll(one) is Event.INSTALLED
    site.publish(2, donefile=b"")
    assert poll(one) is Event.SWAPPED


def test_same_second_and_size_but_other_content_is_another_release(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch()
    for number in (1, 2):
        site.publish(number, donefile=b"%d" % number)
        os.utime(site.root / "donefile", (1_700_000_000, 1_700_000_000))
        assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


def test_two_swaps_in_one_second_have_two_time_seconds(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    seen = []
    one = watch(clock=lambda: 1_800_000_000.5)
    for number in (1, 2, 3):
        site.publish(number)
        poll(one)
        seen.append(second(live(tmp_path)))
    assert seen == [1_800_000_000, 1_800_000_001, 1_800_000_002]


def test_a_clock_set_back_does_not_bring_back_a_second_that_was_used(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    poll(watch(clock=lambda: 1_800_000_000.0))
    site.publish(2)
    poll(watch(clock=lambda: 1_000_000_000.0))
    assert second(live(tmp_path)) == 1_800_000_001


def test_a_time_file_that_the_launcher_touched_is_stepped_past(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = watch(clock=lambda: 1_800_000_000.0)
    poll(one)
    os.utime(live(tmp_path) / "fluid_time_file", (1_800_000_050, 1_800_000_050))
    site.publish(2)
    poll(one)
    assert second(live(tmp_path)) == 1_800_000_051


def test_a_donefile_that_comes_late_goes_and_comes_back_pulls_once(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    one = watch()
    assert poll(one) is Event.NO_DONEFILE
    assert "INFO remote(/) has no donefile." in lines
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    content = (site.root / "donefile").read_bytes()
    (site.root / "donefile").unlink()
    assert poll(one) is Event.NO_DONEFILE
    site.put("donefile", content)
    assert poll(one) is Event.INSTALLED


def test_a_tarball_that_is_not_there_yet_is_tried_until_it_is(watch: MakeWatch, site: Site) -> None:
    packed = tarball(model_files(1))
    site.put("donefile", manifest_of(1, packed))
    one = watch()
    assert poll(one) is Event.REMOTE_FAILED
    site.put(TARBALL, packed)
    assert until(one, Event.SWAPPED)


def test_a_newer_release_does_not_wait_for_the_pause_of_one_that_failed(
    watch: MakeWatch, site: Site
) -> None:
    one = watch(interval="100")
    site.put("donefile", manifest_of(1, b"never there"))
    assert poll(one) is Event.REMOTE_FAILED
    site.publish(2)
    one.machine.state = State.CHECK
    assert poll(one) is Event.SWAPPED


def test_files_that_the_new_release_does_not_have_are_gone_after_the_swap(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1, tarball({**model_files(1), "sub/old": b"x"}))
    one = watch()
    poll(one)
    assert (live(tmp_path) / "sub" / "old").exists()
    site.publish(2)
    poll(one)
    assert not (live(tmp_path) / "sub").exists()


def test_a_live_directory_that_was_put_there_by_hand_is_replaced(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    live(tmp_path).mkdir(parents=True)
    (live(tmp_path) / "by-hand").write_bytes(b"x")
    site.publish(1)
    assert poll(watch()) is Event.SWAPPED
    assert not (live(tmp_path) / "by-hand").exists()
    assert release_in(live(tmp_path)) == 1


def test_mode_and_owner_stay_those_of_the_directory_replaced(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    live(tmp_path).mkdir(parents=True)
    live(tmp_path).chmod(0o750)
    root = os.geteuid() == 0
    if root:
        os.chown(live(tmp_path), 1234, 4321)
    site.publish(1)
    poll(watch())
    for path in (live(tmp_path), *live(tmp_path).iterdir()):
        seen = path.stat()
        assert oct(seen.st_mode & 0o7777) == oct(0o750 if path.is_dir() else 0o640), path
        if root:
            assert (seen.st_uid, seen.st_gid) == (1234, 4321), path


def test_a_swap_waits_until_settle_is_over_and_then_the_newest_wins(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    now = [1_800_000_000.0]
    one = watch(clock=lambda: now[0], settle="30")
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    site.publish(2)
    assert poll(one) is Event.SETTLING
    now[0] += 29
    site.publish(3)
    assert poll(one) is Event.SETTLING
    now[0] += 2
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 3


def test_splay_delays_an_update_but_neither_the_first_model_nor_once(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    # One of a million servers would be delayed by less than a second.
    one = watch(splay="1000000")
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    assert poll(one) is Event.INSTALLED
    for number in (2, 3):
        site.publish(number)
        assert poll(one) is Event.SETTLING
    assert once(watch(splay="1000000", once=True)) == 0
    assert release_in(live(tmp_path)) == 3


def test_after_the_delay_of_splay_the_newest_release_is_installed(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch(splay="0.3")
    for number in (1, 2, 3):
        site.publish(number)
        assert until(one, Event.SWAPPED)
        assert release_in(live(tmp_path)) == number


def test_a_second_monitor_that_is_refused_leaves_the_first_one_s_files(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1, size=300_000)
    os.utime(site.root / TARBALL, (1_700_000_000, 1_700_000_000))
    site.cut_after = 100_000
    first = watch()
    assert poll(first) is Event.REMOTE_FAILED
    stop = Stop()
    second = Watch(first.options, remotes.create(first.options, stop), stop)
    with pytest.raises(BadOption, match="another monitor"):
        second.begin()
    second.abandon()
    second.end()
    assert len(list((tmp_path / "local").glob(f".{MODEL}.staging-*"))) == 1
    site.cut_after = None
    assert until(first, Event.SWAPPED)
    assert site.seen[-2][1].get("Range") == "bytes=100000-"


def test_what_cannot_be_cleared_at_the_start_is_said_and_cleared_later(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    site.publish(1)
    local = tmp_path / "local"
    lock = local / f".{MODEL}.monitor" / "swap.lock"
    lock.mkdir(parents=True)
    left = local / f".{MODEL}.staging-left"
    left.mkdir()
    one = watch()
    assert any(line.startswith("WARNING cannot clear what an earlier run left") for line in lines)
    lock.rmdir()
    assert poll(one) is Event.SWAPPED
    assert not left.exists()


def test_a_clock_set_back_does_not_make_settle_wait_for_years(watch: MakeWatch, site: Site) -> None:
    site.publish(1)
    poll(watch(clock=lambda: 1_800_000_000.0, settle="30"))
    site.publish(2)
    assert poll(watch(clock=lambda: 1_700_000_000.0, settle="30")) is Event.SWAPPED


def test_a_live_directory_that_was_deleted_comes_back_with_another_second(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = watch(clock=lambda: 1_800_000_000.0)
    poll(one)
    shutil.rmtree(live(tmp_path))
    assert poll(one) is Event.SWAPPED
    assert second(live(tmp_path)) == 1_800_000_001


def test_once_waits_until_settle_is_over(watch: MakeWatch, site: Site, tmp_path: Path) -> None:
    site.publish(1)
    assert poll(watch()) is Event.SWAPPED
    site.publish(2)
    begun = time.monotonic()
    assert once(watch(settle="1.2")) == 0
    assert time.monotonic() - begun < 60
    assert release_in(live(tmp_path)) == 2


def test_a_release_that_is_not_packed_is_pulled_file_by_file(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    for name, content in {**model_files(1), "sub/more": b"deep"}.items():
        site.put(f"model_folder/{name}", content)
    site.put("donefile", b"")
    one = watch(remote_model_name="model_folder", unpacked_filename="")
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 1
    assert (live(tmp_path) / "sub" / "more").read_bytes() == b"deep"
    nothing_left(tmp_path)


def test_the_state_in_a_tarball_of_a_live_directory_is_not_believed(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = watch()
    poll(one)
    stale = {name: (live(tmp_path) / name).read_bytes() for name in os.listdir(live(tmp_path))}
    stale["params.pdiparams"] = b"%09d" % 2
    site.publish(2, tarball(stale))
    assert poll(one) is Event.SWAPPED
    state = read_installed(str(live(tmp_path)))
    assert state.identity is not None
    assert state.identity.release == 2
    assert poll(one) is Event.INSTALLED


def test_on_swap_gets_the_live_directory_and_the_release(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    site.publish(7)
    command = f"sh -c 'echo $SERVING_MONITOR_RELEASE $SERVING_MONITOR_EVENT $0 > {out}'"
    assert poll(watch(on_swap=command)) is Event.SWAPPED
    said = ["7", "swapped", str(live(tmp_path))]
    wait_for(lambda: out.exists() and out.read_text().split() == said, "the program", 30)


def test_old_releases_are_kept_as_many_as_asked_for(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch(keep="2")
    for number in range(1, 6):
        site.publish(number)
        poll(one)
    kept = sorted((tmp_path / "local" / f".{MODEL}.monitor" / "kept").iterdir())
    assert [release_in(folder) for folder in kept] == [3, 4]
