"""``--event_file``: the moments of each release, in order, one JSON object a line."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.support.waits import wait_for
from monitor.decisions.identity import Identity
from monitor.decisions.machine import Event
from monitor.decisions.moments import KEYS, Moment
from monitor.errors import BadOption
from monitor.watch.events import EventFile

from .fixtures import MODEL, TARBALL, Site
from .processes import Here, Start, general
from .stepping import MakeWatch, live, poll, release_in, second

COMMON = {"schema", "time", "monotonic", "model", "event", "release", "sha256"}


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def told(path: Path) -> list[dict[str, Any]]:
    """The lines of an event file; each has the keys of its schema and no others."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for one in found:
        assert one["schema"] == 1
        assert one["model"] == MODEL
        assert set(one) == COMMON | set(Moment[one["event"].upper()].keys)
    return found


def names(path: Path) -> list[str]:
    return [str(one["event"]) for one in told(path)]


def test_an_install_is_told_moment_by_moment(watch: MakeWatch, site: Site, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    one = watch(event_file=str(events))
    before = (time.time(), time.monotonic())
    for number in (1, 2):
        packed = site.publish(number)
        assert poll(one) is Event.SWAPPED
        assert poll(one) is Event.INSTALLED
        lines = told(events)[-5:]
        moments = [line["event"] for line in lines]
        assert moments == ["seen", "pulled", "verified", "staged", "swapped"]
        assert {line["release"] for line in lines} == {number}
        assert {line["sha256"] for line in lines} == {hashlib.sha256(packed).hexdigest()}
        assert lines[1]["bytes"] == len(packed)
        assert lines[4]["second"] == second(live(tmp_path))
        assert lines[4]["replaced"] == (None if number == 1 else 1)
    after = (time.time(), time.monotonic())
    monotonic = [line["monotonic"] for line in told(events)]
    assert monotonic == sorted(monotonic)
    assert before[1] <= monotonic[0]
    assert monotonic[-1] <= after[1]
    assert all(before[0] <= line["time"] <= after[0] for line in told(events))
    assert len(told(events)) == 10


def test_a_failed_pull_is_told_and_the_release_is_seen_once(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    packed = site.publish(1)
    (site.root / TARBALL).unlink()
    one = watch(event_file=str(events))
    assert poll(one) is Event.REMOTE_FAILED
    seen, failed = told(events)
    assert (seen["event"], failed["event"], failed["state"]) == ("seen", "failed", "PULL")
    assert failed["release"] == 1
    assert TARBALL in failed["why"]
    site.put(TARBALL, packed)
    while poll(one) is not Event.SWAPPED:
        pass
    assert names(events) == ["seen", "failed", "pulled", "verified", "staged", "swapped"]


def test_a_remote_that_fails_before_a_release_is_known_has_no_release(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    site.publish(1)
    one = watch(event_file=str(events))
    assert poll(one) is Event.SWAPPED
    site.status = 500
    assert poll(one) is Event.REMOTE_FAILED
    failed = told(events)[-1]
    assert (failed["event"], failed["state"]) == ("failed", "CHECK")
    assert (failed["release"], failed["sha256"]) == (None, None)


def test_a_bad_release_is_told_with_the_reason_and_once(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    site.publish(1, b"no archive")
    one = watch(event_file=str(events))
    assert poll(one) is Event.BAD_RELEASE
    assert poll(one) is Event.QUARANTINED
    assert names(events) == ["seen", "pulled", "quarantined"]
    assert told(events)[-1]["state"] == "VERIFY"
    assert "archive" in told(events)[-1]["why"]


def test_a_mistake_of_the_monitor_is_told_as_well(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    site.publish(1)
    one = watch(event_file=str(events))
    one.step()
    one.start_over()
    assert names(events) == ["seen", "failed"]
    assert told(events)[-1]["why"] == "the monitor itself failed"


def test_swapped_is_told_before_the_program_after_a_swap_runs(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    events, copy = tmp_path / "events.jsonl", tmp_path / "copy"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncp {events} {copy}\n")
    program.chmod(0o755)
    site.publish(1)
    assert poll(watch(event_file=str(events), on_swap=str(program))) is Event.SWAPPED
    wait_for(lambda: copy.exists() and copy.read_text(), "the program", 30)
    assert names(copy)[-1] == "swapped"


def test_a_release_without_a_manifest_has_a_digest_once_it_is_here(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    packed = site.publish(1, donefile=b"")
    assert poll(watch(event_file=str(events))) is Event.SWAPPED
    assert {line["release"] for line in told(events)} == {None}
    digests = [line["sha256"] for line in told(events)]
    assert digests == [None] + [hashlib.sha256(packed).hexdigest()] * 4


def test_a_rollback_is_told_with_the_release_that_is_live_again(
    here: Here, site: Site, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    words = [*general(site, tmp_path), f"--event_file={events}"]
    for number in (1, 2):
        site.publish(number)
        assert here(*words, "--once", "--keep=2")[0] == 0
    assert here("rollback", *words)[0] == 0
    told_last = told(events)[-1]
    assert told_last["event"] == "rolled_back"
    assert (told_last["release"], told_last["replaced"]) == (1, 2)
    assert told_last["second"] == second(live(tmp_path))
    assert release_in(live(tmp_path)) == 1


@pytest.mark.parametrize("what", ["a folder", "a missing folder", "a pipe that nobody reads"])
def test_a_file_that_cannot_be_written_ends_the_start_with_one_sentence(
    here: Here, site: Site, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "events"
    if what == "a folder":
        path.mkdir()
    elif what == "a missing folder":
        path = tmp_path / "missing" / "events"
    else:
        os.mkfifo(path)
    code, _, err = here(*general(site, tmp_path), "--once", f"--event_file={path}")
    assert code == 2
    assert f"serving-monitor: cannot write --event_file {path}: " in err
    assert "Traceback" not in err
    assert not (tmp_path / "local" / MODEL).exists()


def test_a_file_that_cannot_be_written_later_warns_once_and_stops_nothing(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    one = watch(event_file=str(folder / "events.jsonl"))
    (folder / "events.jsonl").unlink()
    folder.rmdir()
    for number in (1, 2):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    assert len([line for line in lines if "cannot write --event_file" in line]) == 1
    folder.mkdir()
    site.publish(3)
    assert poll(one) is Event.SWAPPED
    assert names(folder / "events.jsonl")[-1] == "swapped"


def test_lines_of_many_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    def write(model: str) -> None:
        events = EventFile(str(path), model)
        for number in range(200):
            events.write(Moment.FAILED, Identity(str(number), number), state="PULL", why="x" * 500)

    threads = [threading.Thread(target=write, args=(f"model-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for model in range(4):
        mine = [one["release"] for one in found if one["model"] == f"model-{model}"]
        assert mine == list(range(200))


def test_models_of_one_process_share_a_file(start: Start, site: Site, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    (tmp_path / "local").mkdir()
    config = tmp_path / "monitors.toml"
    config.write_text(
        f'general_host = "{site.url}"\nremote_path = "/"\nremote_model_name = "{TARBALL}"\n'
        f'remote_donefile_name = "donefile"\nlocal_path = "{tmp_path}/local"\n'
        f'unpacked_filename = "{MODEL}"\nevent_file = "{events}"\nonce = true\n'
        '[[model]]\nlocal_model_name = "one"\n[[model]]\nlocal_model_name = "two"\n'
        'local_tmp_path = "other"\n'
    )
    site.publish(1)
    one = start(f"--config={config}")
    assert one.end(120) == 0, one.text
    found = [json.loads(line) for line in events.read_text().splitlines()]
    for model in ("one", "two"):
        moments = [line["event"] for line in found if line["model"] == model]
        assert moments == ["seen", "pulled", "verified", "staged", "swapped"]


def test_without_the_option_no_file_is_written(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    before = set(os.listdir("."))
    assert poll(watch()) is Event.SWAPPED
    assert set(os.listdir(".")) == before


def test_each_further_key_has_a_meaning() -> None:
    assert {key for moment in Moment for key in moment.keys} == set(KEYS)


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(BadOption, match="cannot write --event_file"):
        EventFile("a\0b", MODEL).check()
