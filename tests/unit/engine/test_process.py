"""What passes between the engine and the process in which a model runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np
import pytest

from engine._model import Output
from engine._process import Gone, receive, send, serve
from engine._query import Tensor, inference_failed


class Doubles:
    """A model whose output is twice its input; it refuses negative numbers."""

    def feed(self, tensors: Sequence[Tensor]) -> list[Output]:
        (tensor,) = tensors
        if (tensor.array < 0).any():
            raise inference_failed("a negative number")
        return [(2 * tensor.array, ())]


@pytest.fixture
def channel() -> Iterator[Connection]:
    """The engine's end of a channel to a model."""
    engine, model = Pipe()

    def answer() -> None:
        with contextlib.suppress(Gone):
            serve(cast(Any, Doubles()), model)

    thread = threading.Thread(target=answer)
    thread.start()
    yield engine
    engine.close()
    thread.join()
    model.close()


def query(number: float) -> list[Any]:
    return [("x", "<f4", (1,), np.array([number], "<f4"), ())]


def test_one_message_has_the_answers_to_all_queries_of_a_batch(channel: Connection) -> None:
    send(channel, [query(1), query(-1), query(3)])
    first, refused, last = receive(channel)
    assert np.frombuffer(first[0][2], "<f4") == 2
    assert refused == "InferService inference failed! a negative number"
    assert np.frombuffer(last[0][2], "<f4") == 6
