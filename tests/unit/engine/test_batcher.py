"""Calls that wait together, and what one of them may do to the others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from harness.engine._batcher import Batcher, Call
from harness.engine._glog import Log
from harness.engine._query import Answer, Array, Query, ServiceError, Tensor, inference_failed


class Nothing:
    """A model that refuses every query."""

    def check(self, _query: Query) -> None:
        raise inference_failed("nothing is served")


class Kept:
    """A reply that keeps what it gets, or raises instead."""

    remote = local = "?:0"

    def __init__(self, raises: bool = False) -> None:
        self.raises = raises
        self.errors: list[ServiceError] = []

    def succeed(self, answer: Answer) -> None:
        raise AssertionError(answer)

    def fail(self, error: ServiceError) -> None:
        if self.raises:
            raise RuntimeError("the reply cannot be written")
        self.errors.append(error)


def batcher(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Batcher:
    return Batcher(
        loop,
        model=lambda: cast(Any, Nothing()),
        log=Log(tmp_path / "log"),
        engine_name="e",
        nodes=("a", "b", "c"),
        on_failure=lambda _error: None,
    )


def call(reply: Kept, array: Array) -> Call:
    return Call(Query((Tensor("x", array, ()),), (), False, 0), reply, 0.0, 0.0)


@pytest.fixture
def loop() -> Any:
    one = asyncio.new_event_loop()
    yield one
    one.close()


def test_a_reply_that_raises_does_not_lose_the_others(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    replies = [Kept(), Kept(raises=True), Kept()]
    one = batcher(loop, tmp_path)
    for reply in replies:
        one.submit(call(reply, np.zeros((1, 1))))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert [len(reply.errors) for reply in replies] == [1, 0, 1]
    assert (
        "RuntimeError: the reply cannot be written"
        in (tmp_path / "log" / "serving.ERROR").read_text()
    )


def test_large_queries_are_answered_before_they_pile_up(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    one = batcher(loop, tmp_path)
    replies = [Kept() for _ in range(40)]
    unanswered: list[int] = []
    for reply in replies:
        # One megabyte each, all in one look at the sockets.
        one.submit(call(reply, np.zeros((1, 1 << 17))))
        unanswered.append(sum(not each.errors for each in replies[: len(unanswered) + 1]))
    assert max(unanswered) <= 8
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert all(len(reply.errors) == 1 for reply in replies)
