"""Calls that wait together, and what one of them may do to the others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Optional, cast

import numpy as np
import pytest

from bench.fuzz_amplifying import Echo
from engine._batcher import Batcher, Call
from engine._glog import Log
from engine._model import Model
from engine._query import Answer, Array, Query, ServiceError, Tensor, inference_failed


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
        self.answers: list[Answer] = []

    def succeed(self, answer: Answer) -> None:
        self.answers.append(answer)

    def fail(self, error: ServiceError) -> None:
        if self.raises:
            raise RuntimeError("the reply cannot be written")
        self.errors.append(error)


def batcher(
    loop: asyncio.AbstractEventLoop,
    tmp_path: Path,
    model: Optional[Model] = None,
    most: int = 1 << 29,
) -> Batcher:
    return Batcher(
        loop,
        model=lambda: model or cast(Any, Nothing()),
        log=Log(tmp_path / "log"),
        engine_name="e",
        nodes=("a", "b", "c"),
        on_failure=lambda _error: None,
        most=most,
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
    run(loop)
    assert all(len(reply.errors) == 1 for reply in replies)


@pytest.mark.parametrize(
    ("query", "held"),
    [
        (Query((), ("price",) * 5000, False, 0), 5000),
        (Query((), ("é" * 100_000,), False, 0), 400_000),
        (Query((Tensor("x" * 100_000, np.zeros(1), ()),), (), False, 0), 100_000),
        (Query((Tensor("x", np.zeros(1), tuple(range(10_000))),), (), False, 0), 300_000),
        (Query((Tensor("x", np.zeros(1), ()),) * 4000, (), False, 0), 1_000_000),
    ],
)
def test_names_lods_and_many_small_feeds_do_not_pile_up_either(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, query: Query, held: int
) -> None:
    one = batcher(loop, tmp_path)
    most = 0
    for _ in range(100):
        one.submit(Call(query, Kept(), 0.0, 0.0))
        most = max(most, one.waiting)
    assert most * held < 32 << 20
    run(loop)
    assert one.waiting == 0


def test_an_output_may_be_asked_for_more_than_once(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    one = batcher(loop, tmp_path, Echo(), most=1 << 20)
    reply = Kept()
    array = np.ones((4, 1), np.float32)
    one.submit(call(reply, array, ("price",) * 50))
    run(loop)
    assert [fetched.array.tolist() for fetched in reply.answers[0].fetched] == [array.tolist()] * 50


@pytest.mark.parametrize(("rows", "times"), [(1000, 100), (1, 10_000), (0, 10_000)])
def test_an_answer_that_repeats_an_output_beyond_max_body_size_is_refused_before_it_is_made(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, rows: int, times: int
) -> None:
    one = batcher(loop, tmp_path, Echo(), most=1 << 20)
    reply = Kept()
    one.submit(call(reply, np.ones((rows, 1), np.float32), ("price",) * times))
    run(loop)
    assert not reply.answers
    (error,) = reply.errors
    assert error.code == -5100
    assert f"an answer of {times} outputs, some of them repeated" in error.text
    assert "more memory than max_body_size allows (1048576 bytes)" in error.text
    # The real server answers it, whatever it takes.
    assert not error.real_dies


def test_an_answer_without_repeats_may_be_as_large_as_the_model_makes_it(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    one = batcher(loop, tmp_path, Echo(), most=1 << 20)
    reply = Kept()
    for fetch in ((), ("price",)):
        one.submit(call(reply, np.ones((100_000, 1), np.float32), fetch))
    run(loop)
    assert [answer.fetched[0].array.size for answer in reply.answers] == [100_000] * 2


def test_repeated_outputs_of_many_requests_in_one_look_count_together(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    one = batcher(loop, tmp_path, Echo(), most=1 << 20)
    reply = Kept()
    for _ in range(2):
        for _ in range(20):
            # Some 700 kB each; the queries are so large that they are run before the look ends.
            one.submit(call(reply, np.ones((1000, 1), np.float32), ("price", "x" * 300_000) * 5))
        run(loop)
    assert (len(reply.answers), len(reply.errors)) == (2, 38)
