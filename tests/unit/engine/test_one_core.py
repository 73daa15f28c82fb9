"""A thread that is asked runs on the core of the one that waits for it, if that is worth it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from typing import Callable

import pytest

from engine import _one_core
from engine._one_core import OneCore

ALLOWED = os.sched_getaffinity(0)
pytestmark = pytest.mark.skipif(len(ALLOWED) < 2, reason="one core is all there is")


@pytest.fixture
def asker() -> Iterator[None]:
    """Whatever becomes of a test, the next one may run everywhere."""
    yield
    os.sched_setaffinity(0, ALLOWED)


@pytest.fixture
def other(asker: None) -> Iterator[int]:
    """A thread that waits."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, daemon=True)
    thread.start()
    try:
        assert thread.native_id is not None
        yield thread.native_id
    finally:
        done.set()
        thread.join()


@pytest.fixture
def every_wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Says up to how many seconds a wait is worth one core."""

    def worth(seconds: float) -> None:
        monkeypatch.setattr(_one_core, "_WORTH_S", seconds)

    worth(60.0)
    return worth


@pytest.mark.usefixtures("every_wait")
def test_both_are_on_one_core_while_one_waits(other: int) -> None:
    with OneCore(other):
        here = os.sched_getaffinity(0)
        assert len(here) == 1
        assert os.sched_getaffinity(other) == here
    assert os.sched_getaffinity(0) == ALLOWED


@pytest.mark.usefixtures("every_wait")
def test_the_other_one_follows_from_core_to_core(
    other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OneCore(other)
    for core in (*sorted(ALLOWED), min(ALLOWED)):
        monkeypatch.setattr(_one_core, "_current_core", lambda core=core: core)
        with one:
            assert os.sched_getaffinity(0) == os.sched_getaffinity(other) == {core}
    assert os.sched_getaffinity(0) == ALLOWED


@pytest.mark.usefixtures("every_wait")
def test_the_asker_may_run_where_he_might_before_also_after_an_error(other: int) -> None:
    one = OneCore(other)
    with pytest.raises(ValueError, match="whatever"), one:
        raise ValueError("whatever")
    assert os.sched_getaffinity(0) == ALLOWED
    # And that may be another set every time.
    core = min(ALLOWED)
    os.sched_setaffinity(0, {core})
    with one:
        assert os.sched_getaffinity(0) == os.sched_getaffinity(other) == {core}
    assert os.sched_getaffinity(0) == {core}


@pytest.mark.usefixtures("every_wait")
def test_where_somebody_else_puts_the_asker_meanwhile_he_stays(other: int) -> None:
    for core in sorted(ALLOWED)[:2]:
        os.sched_setaffinity(0, ALLOWED)
        with OneCore(other):
            (here,) = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {core})
        # Where he was anyhow, nobody can tell.
        assert os.sched_getaffinity(0) == (ALLOWED if core == here else {core})


def test_after_a_long_wait_the_other_one_runs_where_it_may(
    other: int, every_wait: Callable[[float], None]
) -> None:
    one = OneCore(other)
    every_wait(0.0)
    with one:
        assert len(os.sched_getaffinity(other)) == 1
    every_wait(60.0)
    with one:
        assert os.sched_getaffinity(other) == os.sched_getaffinity(0) == ALLOWED
    # That wait was a short one.
    with one:
        assert len(os.sched_getaffinity(other)) == len(os.sched_getaffinity(0)) == 1


@pytest.mark.usefixtures("asker", "every_wait")
def test_a_thread_that_has_ended_is_no_error() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    one = OneCore(child.pid)
    for _ in range(2):
        with one:
            assert os.sched_getaffinity(0) == ALLOWED
        assert os.sched_getaffinity(0) == ALLOWED


@pytest.mark.parametrize("call", ["sched_setaffinity", "sched_getaffinity"])
@pytest.mark.usefixtures("every_wait")
def test_what_the_system_forbids_is_left(
    other: int, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.sched_getaffinity

    def forbidden(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, call, forbidden)
        with OneCore(other):
            assert look(0) == look(other) == ALLOWED
    assert look(0) == look(other) == ALLOWED


@pytest.mark.usefixtures("every_wait")
def test_where_the_core_is_not_known_both_run_anywhere(
    other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_one_core, "_current_core", lambda: -1)
    with OneCore(other):
        assert os.sched_getaffinity(0) == os.sched_getaffinity(other) == ALLOWED
