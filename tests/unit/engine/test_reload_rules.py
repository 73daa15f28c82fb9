"""When the engine reloads: a table, and the thread that follows it, stepped tick by tick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import pytest

from engine._glog import Log
from engine._reload import Decision, NotNow, ReloadThread, Tick, decide, look
from harness.support.waits import wait_for


@pytest.mark.parametrize(
    ("seen", "last_seen", "tick", "remembered"),
    [
        (100, 100, Tick.IDLE, 100),
        (101, 100, Tick.RELOAD, 101),
        (99, 100, Tick.RELOAD, 99),
        (None, 100, Tick.STAT_FAILED, 100),
        (100, None, Tick.RELOAD, 100),
        (None, None, Tick.STAT_FAILED, None),
    ],
)
def test_another_second_reloads_whether_newer_or_older(
    seen: Optional[int], last_seen: Optional[int], tick: Tick, remembered: Optional[int]
) -> None:
    assert decide(seen, last_seen) == Decision(tick, remembered)


def test_the_time_file_is_read_in_whole_seconds(tmp_path: Path) -> None:
    tag = tmp_path / "fluid_time_file"
    assert look(str(tag)) is None
    tag.touch()
    os.utime(tag, (5.9, 5.9))
    assert look(str(tag)) == 5
    # As a fraction this would be the next second.
    os.utime(tag, ns=(0, 1_795_419_975_999_999_990))
    assert look(str(tag)) == 1_795_419_975


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def messages(tmp_path: Path) -> list[str]:
    lines = (tmp_path / "log" / "serving.INFO").read_text().splitlines()[3:]
    return [line.partition("] ")[2] for line in lines]


def test_a_failed_reload_is_not_tried_again_before_the_second_changes(
    tmp_path: Path, log: Log
) -> None:
    tag = tmp_path / "tag"
    tag.touch()
    os.utime(tag, (10, 10))
    results = [False, True]
    loads: list[bool] = []

    def load() -> bool:
        loads.append(results[len(loads)])
        return loads[-1]

    thread = ReloadThread(log, str(tag), 1, 10, load)
    thread.tick()
    assert loads == []
    os.utime(tag, (11, 11))
    thread.tick()
    thread.tick()
    thread.tick()
    assert loads == [False]
    os.utime(tag, (10, 10))
    thread.tick()
    thread.tick()
    assert loads == [False, True]
    failed = messages(tmp_path).index("Failed reload resource!")
    assert messages(tmp_path)[failed - 1].startswith("Failed reload version engine: ")
    # A tick that failed is not said to be finished.
    assert messages(tmp_path)[failed + 1] == "Begin reload framework..."


def test_a_time_file_that_is_gone_and_back_with_its_second_causes_no_reload(
    tmp_path: Path, log: Log
) -> None:
    tag = tmp_path / "tag"
    tag.touch()
    os.utime(tag, (10, 10))
    loads: list[None] = []

    def load() -> bool:
        loads.append(None)
        return True

    thread = ReloadThread(log, str(tag), 1, 10, load)
    tag.rename(tmp_path / "away")
    thread.tick()
    (tmp_path / "away").rename(tag)
    thread.tick()
    assert loads == []
    assert messages(tmp_path).count(f"Failed stat config file:{tag}") == 1


def test_a_tick_that_raises_does_not_end_the_thread(tmp_path: Path, log: Log) -> None:
    tag = tmp_path / "tag"
    tag.touch()
    os.utime(tag, (10, 10))
    loads: list[None] = []

    def load() -> bool:
        loads.append(None)
        os.utime(tag, (10 + len(loads), 10 + len(loads)))
        raise RuntimeError("what nobody thought of")

    thread = ReloadThread(log, str(tag), 0, None, load)
    thread.start()
    try:
        wait_for(lambda: len(loads) >= 2, "a second load", 5)
    finally:
        thread.stop()
        thread.join()
    assert any("RuntimeError: what nobody thought of" in one for one in messages(tmp_path))


def test_a_load_for_which_there_was_no_room_is_tried_again(tmp_path: Path, log: Log) -> None:
    tag = tmp_path / "tag"
    tag.touch()
    os.utime(tag, (11, 11))
    loads: list[None] = []

    def load() -> bool:
        loads.append(None)
        if len(loads) == 1:
            raise NotNow
        return True

    thread = ReloadThread(log, str(tag), 1, 10, load)
    for _ in range(3):
        thread.tick()
    assert len(loads) == 2
    assert messages(tmp_path).count("Failed reload resource!") == 1


def test_without_a_model_every_look_loads_until_there_is_one(tmp_path: Path, log: Log) -> None:
    tag = tmp_path / "tag"
    tag.touch()
    os.utime(tag, (10, 10))
    model_is_gone = True
    results = [False, False, True]
    loads: list[bool] = []

    def load() -> bool:
        nonlocal model_is_gone
        # The news that the model is gone may come at any time, this one included.
        thread.hurry()
        loads.append(results[len(loads)])
        model_is_gone = not loads[-1]
        return loads[-1]

    thread = ReloadThread(log, str(tag), 600, 10, load, needed=lambda: model_is_gone)
    thread.start()
    thread.hurry()
    try:
        wait_for(
            lambda: messages(tmp_path).count("Finish reload 1 workflow(s)") == 2,
            "a look behind the good load",
            10,
        )
    finally:
        thread.stop()
        thread.hurry()
        thread.join()
    assert loads == results


def test_a_model_that_goes_while_the_thread_looks_is_seen_at_the_next_look(
    tmp_path: Path, log: Log
) -> None:
    tag = tmp_path / "tag"
    tag.touch()
    os.utime(tag, (11, 11))
    gone: list[bool] = []
    loads: list[None] = []

    def load() -> bool:
        loads.append(None)
        if len(loads) == 1:
            gone.append(True)
            return False
        gone.clear()
        return True

    thread = ReloadThread(log, str(tag), 600, 10, load, needed=lambda: bool(gone))
    for _ in range(3):
        thread.tick()
    assert len(loads) == 2
