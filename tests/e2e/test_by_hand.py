"""The parts of a run by hand stay up between commands, and end whatever ends their supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.by_hand.place import Place
from harness.support.process import marked
from harness.support.waits import wait_for


class Hand:
    """Types commands with a folder of run folders of its own."""

    def __init__(self, runs: Path) -> None:
        self.place = Place(runs)

    def types(self, *words: str, code: int = 0) -> str:
        """Return what a command prints."""
        argv = [sys.executable, "-m", "harness", *words, f"--runs={self.place.folder.parent}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=400, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said


@pytest.fixture
def hand(tmp_path: Path) -> Iterator[Hand]:
    hand = Hand(tmp_path / "runs")
    yield hand
    hand.types("down")


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("by-hand")
def test_the_parts_stay_up_between_commands(hand: Hand) -> None:
    up = hand.types("up", "--serving=embedded")
    assert "release 1 served to all clients" in up
    mark = (hand.place.folder / "mark").read_text()

    assert "the clients get release 2" in hand.types("publish", "--wait=60")
    assert [line.split()[2:] for line in hand.types("predict").splitlines()] == [
        ["release", "2"]
    ] * 3

    assert "broken: refuse of remote" in hand.types("break", "refuse")
    status = hand.types("status")
    assert "no answer" in status
    assert "refuse of remote, since" in status
    assert "mended: refuse of remote" in hand.types("mend")
    assert "announces release 2" in hand.types("status")
    assert marked(mark)

    assert "everything has stopped" in hand.types("down")
    assert not marked(mark)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("by-hand")
def test_nothing_is_left_of_a_supervisor_that_is_killed(hand: Hand) -> None:
    hand.types("up", "--serving=embedded")
    mark = (hand.place.folder / "mark").read_text()
    os.kill(hand.place.ask("status")["pid"], signal.SIGKILL)

    wait_for(lambda: not marked(mark), "all parts to end", 60)
    assert "was killed, and all parts ended with it" in hand.types("status", code=2)
    assert "was killed before; nothing is left running" in hand.types("down")
    assert "nothing is up" in hand.types("down")


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("by-hand")
def test_ctrl_c_during_up_ends_everything(hand: Hand) -> None:
    argv = [sys.executable, "-m", "harness", "up", "--serving=embedded"]
    argv.append(f"--runs={hand.place.folder.parent}")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert up.stderr is not None
        while "release 1 published" not in up.stdout.readline():
            assert up.poll() is None
        mark = (hand.place.folder / "mark").read_text()
        up.send_signal(signal.SIGINT)
        assert up.wait(120) == 130
        assert "everything it started is stopped" in up.stderr.read()

    assert not marked(mark)
    assert "nothing is up" in hand.types("down")


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("by-hand")
def test_two_at_once_are_refused(hand: Hand) -> None:
    hand.types("up", "--serving=embedded", "--remotes=http")

    assert "are up in" in hand.types("up", code=2)
    assert "nothing is broken" in hand.types("mend", code=2)
    assert "there is no fault 'fire'" in hand.types("break", "fire", code=2)
    assert "full-disk needs a disk of its own" in hand.types("break", "full-disk", code=2)
    assert "--bad torn is not known" in hand.types("publish", "--bad=torn", code=2)
    assert "release 2 (bad: corrupt) is published" in hand.types("publish", "--bad=corrupt")
    assert hand.types("predict").count("release 1") == 3
    hand.types("publish", "--wait=60")
    assert "release 1 is live again" in hand.types("rollback")
    hand.types("break", "kill", "target=server")
    assert "is down on purpose" in hand.types("status")
    assert "failed:" in hand.types("predict", code=1)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_plain_lines_end_with_a_verdict(tmp_path: Path) -> None:
    hand = Hand(tmp_path / "runs")
    said = hand.types("demo", "--serving=embedded", "--releases=3", "--every=3")
    assert "all clients get release 3" in said
    assert "VALID: all" in said
    assert "nothing is up" in hand.types("down")
