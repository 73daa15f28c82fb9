"""The clock that is set back for one program."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.faults import clock
from harness.support.waits import wait_for

_TELL = """
import os, sys, threading, time
started, path = time.time(), sys.argv[1]
open(path, "w").close()
os.utime(path)
begin = time.monotonic()
threading.Event().wait(0.2)
print(started, time.time() - started, os.stat(path).st_mtime, time.monotonic() - begin)
"""
# Waits until a time of the wall clock, like a program that adds a pause to time().
_WAIT = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
class Time(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]
semaphore = ctypes.create_string_buffer(32)
libc.sem_init(semaphore, 0, 0)
print("waiting", flush=True)
until = Time(int(time.time()) + 5, 0)
libc.sem_timedwait(semaphore, ctypes.byref(until))
print("done", flush=True)
"""

pytestmark = pytest.mark.skipif(clock.why_not() is not None, reason=str(clock.why_not()))


@pytest.fixture
def own(tmp_path: Path) -> clock.Clock:
    """A clock that is not set yet."""
    return clock.Clock(tmp_path)


def _told(own: clock.Clock, path: Path) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", _TELL, str(path)],
        env={**os.environ, **own.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize("shift", [0, -3600, 86400])
def test_a_program_goes_by_the_clock_that_it_was_given(
    shift: int, own: clock.Clock, tmp_path: Path
) -> None:
    own.set(shift)
    now = time.time()
    told, passed, touched, waited = _told(own, tmp_path / "file")
    assert abs(told - now - shift) < 30
    assert abs(touched - told) < 30, "a file that was touched now has another time"
    assert passed == pytest.approx(waited, abs=30)
    assert 0.19 < waited < 20, "a wait of 0.2 s took another time"


def test_a_shell_and_what_it_starts_go_by_it_too(own: clock.Clock, tmp_path: Path) -> None:
    own.set(-3600)
    path = tmp_path / "touched"
    environment = {**os.environ, **own.environment}
    subprocess.run(["sh", "-c", f"touch '{path}'"], env=environment, check=True)
    assert time.time() - path.stat().st_mtime > 3500


def test_who_waits_until_a_time_waits_longer_when_the_clock_is_set_back(
    own: clock.Clock, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        waiting = subprocess.Popen(
            [sys.executable, "-c", _WAIT],
            env={**os.environ, **own.environment},
            stdout=output,
        )
    with waiting:
        try:
            wait_for(lambda: "waiting" in log.read_text(), "the program to wait", 20)
            own.set(-5)
            begin = time.monotonic()
            wait_for(lambda: "done" in log.read_text(), "the end of the wait", 30)
            assert time.monotonic() - begin > 4, "the wait ended as if the clock had not changed"
        finally:
            waiting.kill()
