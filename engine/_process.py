"""A model that runs in a process of its own, and the engine's handle on it.

    engine, ModelProcess.feed ──feeds──▶ model process, serve() ──▶ Core.feed
                              ◀─outputs─

Paddle holds Python's interpreter lock while it makes a predictor, and ends its process on some
queries. In another process neither disturbs the engine, and a reload is one assignment.

The ends trust each other, because both are this program. Arrays pass in ``marshal``'s form of
builtin values: pickles of small arrays take as long as a small model's run.
"""

from __future__ import annotations

import asyncio
import ctypes
import marshal
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, Callable, Optional

import numpy as np

from ._core import Core
from ._model import Model, Output, Result
from ._model_files import Graph
from ._prototxt import Variable
from ._query import INFERENCE_FAILED, Array, ServiceError, Tensor, inference_failed

_PR_SET_PDEATHSIG = 1


def end_with_parent(signal_number: int) -> None:
    """Have this signal sent to the calling process when its parent ends; 0: none."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


class Gone(Exception):
    """The process at the other end has ended."""


def send(channel: Connection, message: Any) -> None:
    """Send a message. Raises ``Gone``."""
    try:
        channel.send_bytes(marshal.dumps(message))
    except ConnectionError:
        raise Gone from None


def receive(channel: Connection) -> Any:
    """Return the next message. Raises ``Gone``."""
    try:
        return marshal.loads(channel.recv_bytes())
    except (EOFError, ConnectionError):
        raise Gone from None


class ModelProcess(Model):
    """A model in the process ``pid``, at the other end of ``channel``.

    A query that finds the process gone is refused, like all after it.
    """

    def __init__(
        self,
        channel: Connection,
        pid: int,
        graph: Graph,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
    ) -> None:
        super().__init__(graph, feeds, fetches)
        self.graph = graph
        self.pid = pid
        self._channel = channel
        self._end: Optional[int] = None

    def feed(self, tensors: Sequence[Tensor]) -> list[Output]:
        (result,) = self.feed_each([tensors])
        if isinstance(result, ServiceError):
            raise result
        return result

    def feed_each(self, queries: Sequence[Sequence[Tensor]]) -> list[Result]:
        try:
            if not self.over:
                message = [[(one.name, *_packed(one.array, one.lod)) for one in q] for q in queries]
                send(self._channel, message)
                return [_result(answer) for answer in receive(self._channel)]
        except Gone:
            self.over = (
                "the process in which the model ran has ended, perhaps on this request; "
                "the model is being loaded again"
            )
        return [inference_failed(self.over)] * len(queries)

    def watch(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        def ended() -> None:
            self.unwatch(loop)
            on_end()

        try:
            self._end = os.pidfd_open(self.pid)
        except ProcessLookupError:
            loop.call_soon(on_end)
        except OSError:
            # No descriptor left, or a kernel older than 5.3: then only the queries show it.
            return
        else:
            loop.add_reader(self._end, ended)

    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._end is not None:
            loop.remove_reader(self._end)
            os.close(self._end)
            self._end = None

    def close(self) -> None:
        """Close the channel; the process ends by itself."""
        self._channel.close()


def serve(core: Core, channel: Connection) -> None:
    """Answer on ``channel``. Raises ``Gone`` when the other end closes it."""
    while True:
        # One message for all answers: each message wakes the engine, which waits for all of them.
        send(channel, [_answer(core, query) for query in receive(channel)])


def _answer(core: Core, query: Sequence[Any]) -> Any:
    try:
        outputs = core.feed([Tensor(name, *_unpacked(packed)) for name, *packed in query])
        return [_packed(array, lod) for array, lod in outputs]
    except ServiceError as error:
        return error.text
    except Exception as error:
        return inference_failed(f"{type(error).__name__}: {error}").text


def _packed(array: Array, lod: tuple[int, ...]) -> tuple[Any, ...]:
    return array.dtype.str, array.shape, np.ascontiguousarray(array), lod


def _unpacked(packed: Sequence[Any]) -> Output:
    dtype, shape, content, lod = packed
    return np.ndarray(shape, dtype, content), lod


def _result(answer: Any) -> Result:
    if isinstance(answer, str):
        return ServiceError(INFERENCE_FAILED, answer, real_dies=True)
    return [_unpacked(packed) for packed in answer]
