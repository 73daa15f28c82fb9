"""When the engine reloads: a table, and the thread that follows it, stepped tick by tick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Optional

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
    # As a float this time would be the next second.
    os.utime(tag, ns=(0, 1_795_419_975_999_999_990))
    assert look(str(tag)) == 1_795_419_975


class Reloads:
    """A reload thread with a time file of its own, and the loads that it has asked for.

    Args:
        folder: An empty folder.
        results: What the loads give, in turn: a result, or an error to raise.
        interval_s: Seconds between two looks.
    """

    def __init__(self, folder: Path, results: list[object], interval_s: int = 600) -> None:
        self.tag = folder / "tag"
        self.tag.touch()
        self.second(10)
        self._log = folder / "log"
        self._results = results
        self.loads = 0
        self.gone = False
        self.during: Callable[[], None] = lambda: None
        self.thread = ReloadThread(
            Log(self._log), str(self.tag), interval_s, 10, self._load, needed=lambda: self.gone
        )

    def second(self, second: int) -> None:
        os.utime(self.tag, (second, second))

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.thread.tick()

    def _load(self) -> bool:
        result = self._results[self.loads]
        self.loads += 1
        self.during()
        if isinstance(result, Exception):
            raise result
        self.gone = self.gone and not result
        return bool(result)

    def messages(self) -> list[str]:
        lines = (self._log / "serving.INFO").read_text().splitlines()[3:]
        return [line.partition("] ")[2] for line in lines]


def test_a_failed_reload_is_not_tried_again_before_the_second_changes(tmp_path: Path) -> None:
    reloads = Reloads(tmp_path, [False, True])
    reloads.tick()
    assert reloads.loads == 0
    reloads.second(11)
    reloads.tick(3)
    assert reloads.loads == 1
    reloads.second(10)
    reloads.tick(2)
    assert reloads.loads == 2
    messages = reloads.messages()
    failed = messages.index("Failed reload resource!")
    assert messages[failed - 1].startswith("Failed reload version engine: ")
    # A tick that failed is not said to be finished.
    assert messages[failed + 1] == "Begin reload framework..."


def test_a_time_file_that_is_gone_and_back_with_its_second_causes_no_reload(
    tmp_path: Path,
) -> None:
    reloads = Reloads(tmp_path, [])
    reloads.tag.rename(tmp_path / "away")
    reloads.tick()
    (tmp_path / "away").rename(reloads.tag)
    reloads.tick()
    assert reloads.messages().count(f"Failed stat config file:{reloads.tag}") == 1


def test_a_tick_that_raises_does_not_end_the_thread(tmp_path: Path) -> None:
    reloads = Reloads(tmp_path, [RuntimeError("unexpected")] * 1000, interval_s=0)
    reloads.during = lambda: reloads.second(11 + reloads.loads)
    reloads.second(11)
    reloads.thread.start()
    try:
        wait_for(lambda: reloads.loads >= 2, "a second load", 30)
    finally:
        reloads.thread.stop()
        reloads.thread.join()
    assert "RuntimeError: unexpected" in reloads.messages()


def test_a_load_for_which_there_was_no_room_is_tried_again(tmp_path: Path) -> None:
    reloads = Reloads(tmp_path, [NotNow(), True])
    reloads.second(11)
    reloads.tick(3)
    assert reloads.loads == 2
    assert reloads.messages().count("Failed reload resource!") == 1


def test_without_a_model_every_look_loads_until_there_is_one(tmp_path: Path) -> None:
    reloads = Reloads(tmp_path, [False, False, True])
    reloads.gone = True
    # The news that the model is gone may come at any time, this one included.
    reloads.during = reloads.thread.hurry
    reloads.thread.start()
    reloads.thread.hurry()
    try:
        wait_for(
            lambda: reloads.messages().count("Finish reload 1 workflow(s)") == 2,
            "a look behind the good load",
            10,
        )
    finally:
        reloads.thread.stop()
        reloads.thread.hurry()
        reloads.thread.join()
    assert reloads.loads == 3


def test_a_model_that_goes_while_the_thread_looks_is_seen_at_the_next_look(
    tmp_path: Path,
) -> None:
    reloads = Reloads(tmp_path, [False, True])
    reloads.during = lambda: setattr(reloads, "gone", True)
    reloads.second(11)
    reloads.tick(3)
    assert reloads.loads == 2
