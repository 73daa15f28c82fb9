"""Who steps back, how far, and that he comes forward again where that is allowed."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from pathlib import Path
from typing import Callable

import pytest

from harness.engine import _priority
from harness.engine._priority import Group, long_turns, step_back, usual_turns

AUTOGROUP = Path("/proc/self/autogroup")
_PR_SET_DUMPABLE = 4
_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_NOBODY = 65534


def in_a_process(work: Callable[[], object]) -> str:
    """What ``work`` gives in a process of its own, as somebody without rights."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setuid(_NOBODY)
                # Else /proc/self stays root's.
                ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            os.write(writing, str(work()).encode())
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def niceness_of_the_group() -> int:
    return int(AUTOGROUP.read_text().split()[-1])


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
def test_a_group_comes_forward_again_without_rights() -> None:
    def there_and_back() -> list[int]:
        seen = []
        group = Group()
        # More changes at once than the kernel allows.
        for _ in range(3):
            group.step_back(15)
            seen.append(niceness_of_the_group())
            group.come_forward()
            seen.append(niceness_of_the_group())
        return seen

    before = niceness_of_the_group()
    seen = in_a_process(there_and_back)
    # Whether one steps back again so soon is the kernel's to say; coming forward is what counts.
    assert seen.startswith("[15, 0, "), seen
    assert seen.endswith(", 0]"), seen
    assert niceness_of_the_group() == before, "another process's group was changed"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
def test_a_group_that_never_stepped_back_is_left_as_it_is() -> None:
    def forward() -> bool:
        # Somebody may have made all of it nicer, and that is for him to take back.
        other = Group()
        while niceness_of_the_group() != 7:
            other.step_back(7)
        Group().come_forward()
        return niceness_of_the_group() == 7

    assert in_a_process(forward) == "True"


def of_a_thread(work: Callable[[], object]) -> list[tuple[int, int, int]]:
    """Policy, niceness and length of turns (ns) of a thread, before and after ``work`` in it."""
    seen: list[tuple[int, int, int]] = []

    def look() -> None:
        number = _SCHED_GETATTR[os.uname().machine]
        found = ctypes.create_string_buffer(48)
        assert ctypes.CDLL(None).syscall(number, 0, found, 48, 0) == 0
        _, policy, _, niceness, _, turn, _, _ = struct.unpack("=IIQiIQQQ", found.raw)
        seen.append((policy, niceness, turn))

    def run() -> None:
        look()
        work()
        look()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return seen


def knows_turns() -> bool:
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return os.uname().machine in _SCHED_GETATTR and release >= (6, 12)


needs_turns = pytest.mark.skipif(not knows_turns(), reason="needs Linux 6.12, for turns' lengths")


@needs_turns
def test_long_turns_change_nothing_else_and_can_be_taken_back() -> None:
    before, after = of_a_thread(long_turns)
    assert after == (*before[:2], 100_000_000)
    assert before[2] < 10_000_000
    before, after = of_a_thread(lambda: (long_turns(), usual_turns()))
    assert after == before


@needs_turns
def test_who_steps_back_is_nicer_wakes_softly_and_has_long_turns() -> None:
    before, after = of_a_thread(lambda: step_back(3))
    assert after == (os.SCHED_BATCH, before[1] + 3, 100_000_000)


@needs_turns
def test_threads_are_behind_when_the_one_who_started_them_is() -> None:
    started: list[tuple[int, int, int]] = []

    def back_and_start() -> None:
        step_back(3)
        started.extend(of_a_thread(lambda: None)[:1])

    _, after = of_a_thread(back_and_start)
    assert started == [after]


def test_what_the_system_forbids_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not here")

    for name in ("nice", "sched_setscheduler", "getpriority", "setsid"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(_priority, "_AUTOGROUP", Path("/proc/self/no-such-file"))
    step_back(3)
    group = Group()
    group.step_back(15)
    group.come_forward()
