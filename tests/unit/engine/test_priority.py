"""Who steps back, how far, and that he comes forward again where that is allowed."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable

import pytest

from engine import _priority
from engine._priority import Group, bring_forward, long_turns, step_back, usual_turns

AUTOGROUP = Path("/proc/self/autogroup")
DEADLINE_S = 20.0
_PR_SET_DUMPABLE = 4
_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_NOBODY = 65534


def without_rights() -> None:
    """What is left of root has none either, where it may not become somebody else."""
    if os.geteuid() == 0:
        with suppress(PermissionError):
            os.setgroups([])
            os.setuid(_NOBODY)
        # Else /proc/self stays root's.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def in_a_process(work: Callable[[], object], become: Callable[[], None] = without_rights) -> str:
    """What ``work`` gives in a process of its own, in which ``become`` was called first."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become()
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


def niceness_of_the_group(pid: object = "self") -> int:
    """Nothing stands there for what init started without a session of its own: 0."""
    said = Path(f"/proc/{pid}/autogroup").read_text().split()
    return int(said[-1]) if said else 0


@pytest.fixture(scope="session")
def usual() -> int:
    """The niceness that a group made by the tests has; skips where it cannot be changed."""

    def change() -> int:
        os.setsid()
        usual = niceness_of_the_group("self")
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            with suppress(BlockingIOError):
                AUTOGROUP.write_text("15")
                return usual
        raise TimeoutError

    said = in_a_process(change)
    if said != "0":
        pytest.skip(f"needs a kernel that lets processes change their autogroups: {said}")
    return max(0, niceness_of_the_group())


def test_a_group_comes_forward_again_without_rights(usual: int) -> None:
    def there_and_back() -> list[int]:
        seen = []
        group = Group()
        # More changes at once than the kernel allows.
        for _ in range(3):
            group.step_back(15, wait_s=DEADLINE_S)
            seen.append(niceness_of_the_group())
            group.come_forward()
            seen.append(niceness_of_the_group())
        return seen

    before = AUTOGROUP.read_text()
    assert in_a_process(there_and_back) == str([15, usual] * 3)
    assert AUTOGROUP.read_text() == before, "another process's group was changed"


def test_a_group_that_never_stepped_back_is_left_as_it_is(usual: int) -> None:
    def forward() -> int:
        group = Group()
        # Somebody else may have made it nicer, and that is for him to take back.
        Group().step_back(7, wait_s=DEADLINE_S)
        group.come_forward()
        return niceness_of_the_group()

    assert in_a_process(forward) == "7"


@pytest.mark.usefixtures("usual")
def test_a_group_has_the_niceness_of_the_one_it_was_made_from() -> None:
    def there_and_back() -> list[int]:
        group = Group()
        seen = [niceness_of_the_group()]
        group.step_back(15, wait_s=DEADLINE_S)
        group.come_forward()
        return [*seen, niceness_of_the_group()]

    def from_a_nice_one() -> str:
        Group().step_back(7, wait_s=DEADLINE_S)
        return in_a_process(there_and_back)

    assert in_a_process(from_a_nice_one) == "[7, 7]"


@pytest.mark.usefixtures("usual")
def test_a_group_that_may_not_be_put_before_others_comes_forward_as_far_as_it_may() -> None:
    def preferred() -> None:
        os.setsid()
        AUTOGROUP.write_text("-5")
        without_rights()

    def there_and_back() -> int:
        group = Group()
        group.step_back(15, wait_s=DEADLINE_S)
        group.come_forward()
        return niceness_of_the_group()

    said = in_a_process(lambda: in_a_process(there_and_back), preferred)
    if said.startswith("PermissionError"):
        pytest.skip("needs the right to put a group before others")
    assert said == "0"


@pytest.mark.usefixtures("usual")
def test_a_process_that_cannot_come_forward_is_brought_and_no_other_of_its_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Others may use up the changes of a second.
    monkeypatch.setattr(_priority, "_PROMPT_S", DEADLINE_S)

    def behind() -> list[int]:
        Group().step_back(15, wait_s=DEADLINE_S)
        seen = []
        for own in (False, True):
            waiting, waits = os.pipe()
            pid = os.fork()
            if pid == 0:
                if own:
                    os.setsid()
                    Group().step_back(15, wait_s=DEADLINE_S)
                os.write(waits, b"x")
                signal.pause()
            os.close(waits)
            try:
                os.read(waiting, 1)
                bring_forward(pid)
                seen.append(niceness_of_the_group(pid))
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return seen

    assert in_a_process(behind) == "[15, 0]"


def test_where_there_are_no_groups_nobody_waits_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: float) -> None:
        raise AssertionError("waited for what never comes")

    monkeypatch.setattr(_priority, "_AUTOGROUP", str(tmp_path / "none"))
    monkeypatch.setattr(time, "sleep", forbidden)

    def there_and_back() -> str:
        group = Group()
        group.step_back(15, wait_s=DEADLINE_S)
        group.come_forward()
        bring_forward(os.getpid())
        return "at once"

    assert in_a_process(there_and_back) == "at once"


def test_the_group_of_others_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group_file = tmp_path / "autogroup"
    group_file.write_text("")
    monkeypatch.setattr(_priority, "_AUTOGROUP", str(group_file))

    def refuse() -> None:
        raise PermissionError(1, "not here")

    monkeypatch.setattr(os, "setsid", refuse)
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid() + 1)
    group = Group()
    group.step_back(15)
    group.come_forward()
    assert group_file.read_text() == ""


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
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (
        release is not None
        and (int(release[1]), int(release[2])) >= (6, 12)
        and os.uname().machine in _SCHED_GETATTR
    )


needs_turns = pytest.mark.skipif(not knows_turns(), reason="needs Linux 6.12, for turns' lengths")


@needs_turns
def test_long_turns_change_nothing_else_and_can_be_taken_back() -> None:
    before, after = of_a_thread(long_turns)
    assert after == (*before[:2], 100_000_000)
    assert before != after
    before, after = of_a_thread(lambda: (long_turns(), usual_turns()))
    assert after == before


@needs_turns
def test_who_steps_back_is_nicer_wakes_softly_and_has_long_turns() -> None:
    before, after = of_a_thread(lambda: step_back(3))
    assert after == (os.SCHED_BATCH, min(19, before[1] + 3), 100_000_000)


@needs_turns
def test_threads_are_behind_when_the_one_who_started_them_is() -> None:
    started: list[tuple[int, int, int]] = []

    def back_and_start() -> None:
        step_back(3)
        started.extend(of_a_thread(lambda: None)[:1])

    _, after = of_a_thread(back_and_start)
    assert started == [after]


@needs_turns
def test_what_the_system_forbids_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not here")

    for name in ("nice", "sched_setscheduler", "getpriority"):
        monkeypatch.setattr(os, name, refuse)
    before, after = of_a_thread(lambda: step_back(3))
    assert after == before
