"""Calls that wait together, and what one of them may do to the others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from engine._batcher import Batcher, Call
from engine._glog import Log
from engine._query import Answer, Array, Query, ServiceError, Tensor, inference_failed


class Nothing:
    """A model that refuses every query."""

    def check(self, _query: Query) -> None:
        raise inference_failed("nothing is served")

    def feed_each(self, _queries: object) -> list[object]:
        return []


class Kept:
    """A reply that keeps what it gets, or raises instead."""

    remote = local = "?:0"

    def __init__(self, raises: bool = False) -> None:
        self.raises = raises
        self.errors: list[ServiceError] = []
        self.answers: list[Answer] = []

    def succeed(self, answer: Answer) -> None:
        self.answers.append(answer)

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


def call(reply: Kept, array: Array, fetch: tuple[str, ...] = ()) -> Call:
    return Call(Query((Tensor("x", array, ()),), fetch, False, 0), reply, 0.0, 0.0)


def run(loop: asyncio.AbstractEventLoop) -> None:
    """One turn of the loop."""
    loop.call_soon(loop.stop)
    loop.run_forever()


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
    run(loop)
    assert [len(reply.errors) for reply in replies] == [1, 0, 1]
    assert (
        "RuntimeError: the reply cannot be written"
        in (tmp_path / "log" / "serving.ERROR").read_text()
    )
