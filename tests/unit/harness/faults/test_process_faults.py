"""Faults of a process, on a real process that counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.faults.base import Targets
from harness.faults.registry import make
from harness.support.errors import BadInput
from harness.support.process import Process
from harness.support.waits import wait_for

_COUNTS = """
import itertools, signal, sys, time
def end(*_):
    print("ended in order")
    sys.exit()
signal.signal(signal.SIGTERM, end)
for number in itertools.count():
    print(number)
    time.sleep(0.01)
"""


class Counter:
    """A process that counts in its log, and what a run does for it."""

    def __init__(self, folder: Path) -> None:
        self.process = Process("counter", [sys.executable, "-c", _COUNTS], log=folder / "log")
        self.went_down: list[str] = []
        self.targets = Targets(
            parts={"monitor": self.process},
            goes_down=self.went_down.append,
            restart=lambda _: self.process.start(),
        )

    @property
    def lines(self) -> list[str]:
        return self.process.log.read_text().splitlines()

    def wait_until_counting(self) -> None:
        before = len(self.lines)
        wait_for(lambda: len(self.lines) > before + 2, "the process to count", 10)


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    made = Counter(tmp_path)
    with made.process:
        made.wait_until_counting()
        yield made


@pytest.mark.parametrize(("name", "in_order"), [("kill", False), ("restart", True)])
def test_a_process_that_a_fault_ends_is_started_again_at_its_end(
    counter: Counter, name: str, in_order: bool
) -> None:
    fault = make(name, {"target": "monitor"})
    fault.start(counter.targets)
    assert not counter.process.running
    assert counter.went_down == ["monitor"]
    assert ("ended in order" in counter.lines) == in_order
    fault.stop()
    counter.wait_until_counting()
    assert counter.lines.count("0") == 2, "the process was not started a second time"
    fault.stop()
    counter.process.check()


def test_a_paused_process_stands_still_and_goes_on_where_it_was(counter: Counter) -> None:
    fault = make("pause", {})
    fault.start(counter.targets)
    state = Path(f"/proc/{counter.process.pids[0]}/stat")
    wait_for(lambda: state.read_text().split()[2] == "T", "the process to be stopped", 10)
    assert counter.process.running
    assert counter.went_down == [], "a paused process is not down"
    fault.stop()
    counter.wait_until_counting()
    assert counter.lines.count("0") == 1, "the process was started anew"


def test_a_target_that_the_run_does_not_have_is_bad_input(counter: Counter) -> None:
    with pytest.raises(BadInput, match="no such process; use one of monitor"):
        make("kill", {"target": "server"}).start(counter.targets)
    with pytest.raises(BadInput, match="no such gate; use another scenario; remotes in contain"):
        make("cut", {}).start(counter.targets)
    with pytest.raises(BadInput, match="gave it no disk of its own"):
        make("full-disk", {}).start(counter.targets)
    with pytest.raises(BadInput, match="no such clock"):
        make("clock-step", {}).start(counter.targets)
    counter.process.check()
