"""What passes between the engine and the processes that hold models, and their small accidents."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from engine import _hosting, _nursery, _process
from engine._core import Device
from engine._hosting import Asked
from engine._model_files import Graph
from engine._process import Channel, Gone, Host
from engine._query import ServiceError

LONG = b"x" * 100_000


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield Channel(one), Channel(other)


@contextmanager
def no_descriptor() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("size", [100_000, 0x14E00 - 7])
def test_a_long_message_without_a_descriptor_for_it_is_an_error_and_the_next_one_comes(
    ends: tuple[Channel, Channel], size: int
) -> None:
    ours, theirs = ends
    ours.send(b"x" * size)
    with no_descriptor(), pytest.raises(OSError, match="Too many open files"):
        theirs.receive()
    ours.send(LONG)
    assert theirs.receive() == LONG


def test_a_model_process_without_a_descriptor_refuses_the_query_and_serves_on(
    ends: tuple[Channel, Channel],
) -> None:
    ours, theirs = ends
    serving = threading.Thread(target=_process.serve, args=[object(), theirs])
    ours.send(LONG)
    with no_descriptor():
        serving.start()
        with ours.patience(20):
            done, text = ours.receive()
    assert not done
    assert "Too many open files" in text
    ours.send(None)
    serving.join(20)
    assert not serving.is_alive()


def test_a_process_that_does_not_say_it_is_empty_is_given_up(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_process, "_EMPTY_S", 0.2)
    silent = subprocess.Popen(["sleep", "600"])
    try:
        host = Host(ends[0], silent.pid)
        assert host.empty(), "it is told, and nobody waits"
        with pytest.raises(Gone):
            host.load(b"", [])
        assert silent.wait(10) == -signal.SIGKILL
    finally:
        silent.kill()
        silent.wait()
    # Now there is nobody to be killed.
    with pytest.raises(Gone):
        host.load(b"", [])


def test_an_answer_that_comes_when_nobody_waits_any_more_is_no_other_query_s(
    ends: tuple[Channel, Channel],
) -> None:
    ours, theirs = ends
    stuck = subprocess.Popen(["sleep", "600"])
    try:
        model = _process.ModelProcess(
            Host(ours, stuck.pid),
            Graph((), (), ()),
            (),
            (),
            together=False,
            thread=stuck.pid,
            longest_run_s=1,
        )
        for late in (True, False):
            with pytest.raises(ServiceError, match="did not answer within 1 s and was ended"):
                model.feed([])
            if late:
                theirs.send((True, []))
        assert stuck.wait(10) == -signal.SIGKILL
    finally:
        stuck.kill()
        stuck.wait()


def test_a_child_that_the_signal_handler_has_waited_for_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    children = _nursery._Children()
    wait = os.waitpid

    def interrupted(pid: int, options: int) -> tuple[int, int]:
        monkeypatch.setattr(os, "waitpid", wait)
        ended = wait(pid, options)
        # The signal comes here, before the one who asked knows of it.
        children.reap()
        return ended

    monkeypatch.setattr(os, "waitpid", interrupted)
    children.add(child.pid)
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)
    children.reap()
    child.returncode = 0


@pytest.mark.parametrize("gently", [False, True])
def test_a_gentle_load_rests_between_its_steps_and_every_model_is_dropped_at_low_priority(
    gently: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}

    def niceness(when: str) -> None:
        seen[when] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    class Loaded:
        together = False

        def __init__(self, *_: Any, rest: Callable[[], None]) -> None:
            niceness("loading")
            steps.append("made")
            rest()

        def close(self) -> None:
            niceness("dropping")

    class Group:
        def step_back(self, niceness: int, *, wait_s: float) -> None:
            assert niceness > 0
            steps.append("back")

        def come_forward(self) -> None:
            steps.append("forward")

    steps: list[str] = []
    program, params = (os.memfd_create(name) for name in ("program", "params"))

    def check(_: object) -> tuple[tuple[()], ...]:
        steps.append("checked")
        return (), (), ()

    monkeypatch.setattr(_hosting, "check", check)
    monkeypatch.setattr(_hosting, "Core", Loaded)
    # The module's name alone: others sleep as well.
    monkeypatch.setattr(_hosting, "time", SimpleNamespace(sleep=lambda _: steps.append("rest")))
    group: Any = Group()
    held = _hosting._Held(Asked("a", Device(), gently, program, params), (), (), group)
    assert held.core is not None
    held.drop()
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert (seen["loading"] > usual) == gently
    assert seen["dropping"] > usual
    # Somebody waits for what is not loaded gently, and the group may have stepped back before.
    assert steps == (
        ["back", "rest", "checked", "rest", "made", "rest", "back"]
        if gently
        else ["forward", "checked", "made", "back"]
    )
    for descriptor in (program, params):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_the_first_run_of_a_loaded_model_comes_after_a_rest_too() -> None:
    steps: list[str] = []
    core = SimpleNamespace(together=True, warm_up=lambda: steps.append("run"))
    held: Any = SimpleNamespace(core=core, answer={}, rest=lambda: steps.append("rest"))
    group: Any = SimpleNamespace(come_forward=lambda: steps.append("forward"))
    # Asked for nothing but to drop the model.
    channel: Any = SimpleNamespace(receive=lambda: None)
    assert _hosting._serve(held, channel, lambda _: steps.append("said"), group)
    assert steps == ["rest", "run", "forward", "said"]
