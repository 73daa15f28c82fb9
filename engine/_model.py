"""One loaded model: what may be fed to it, and what comes out.

    Model ── check a query, feed it, name the outputs
      Core           runs in this process (``_core``)
      ModelProcess   runs in a process of its own (``_process``)

A model never changes after the load: a reload makes a new one and drops the old. One thread calls
it.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from typing import Callable, Union

from ._model_files import Graph
from ._prototxt import Variable
from ._query import Array, Fetched, Query, ServiceError, Tensor, inference_failed

# An output: the elements, and the offsets of its sequences (none without a lod).
Output = tuple[Array, tuple[int, ...]]
# What became of one query.
Result = Union[list[Output], ServiceError]


class Model(abc.ABC):
    """A model.

    Args:
        graph: What the program says.
        feeds: The prototxt's feeds.
        fetches: The prototxt's fetches.

    Attributes:
        over: Why the model serves no longer; empty while it does.
    """

    def __init__(
        self, graph: Graph, feeds: Sequence[Variable], fetches: Sequence[Variable]
    ) -> None:
        self._inputs = {one.name: one for one in graph.inputs}
        self._sequences = {feed.name for feed in feeds if feed.is_lod}
        self._fetches = tuple(fetches)
        self._places = {fetch.alias: place for place, fetch in enumerate(fetches)}
        self.over = ""

    @abc.abstractmethod
    def feed(self, tensors: Sequence[Tensor]) -> list[Output]:
        """Run the model; return every fetch, in the prototxt's order.

        Raises:
            ServiceError: Paddle refuses the feeds.
        """

    def feed_each(self, queries: Sequence[Sequence[Tensor]]) -> list[Result]:
        """Run the model once for each query."""
        results: list[Result] = []
        for tensors in queries:
            try:
                results.append(self.feed(tensors))
            except ServiceError as error:
                results.append(error)
        return results

    @abc.abstractmethod
    def watch(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        """Have ``on_end`` called in the loop's thread when the model can serve no longer."""

    @abc.abstractmethod
    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Undo ``watch``."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give back what the model holds. It must not be used afterwards."""

    def named(self, outputs: Sequence[Output], aliases: Sequence[str]) -> tuple[Fetched, ...]:
        """Return the outputs asked for; no alias means all, an unknown alias the first output."""
        fetched = [Fetched(variable, *output) for variable, output in zip(self._fetches, outputs)]
        if not aliases:
            return tuple(fetched)
        return tuple(fetched[self._places.get(alias, 0)] for alias in aliases)

    def check(self, query: Query) -> None:
        """Raise ``ServiceError`` (E-5100) with the reason if the query does not fit the model."""
        if not query.tensors:
            raise inference_failed()
        for name, array, lod in query.tensors:
            takes = self._inputs.get(name)
            if takes is None:
                raise inference_failed(
                    f"there is no feed {name or '(without a name)'}; "
                    f"the model has {', '.join(self._inputs)}"
                )
            if array.dtype != takes.dtype:
                raise inference_failed(
                    f"feed {name} is {array.dtype.name}, the model takes {takes.dtype}"
                )
            # A sequence has as many rows as its lod says, so only its rank is checked.
            sequence = lod and name in self._sequences
            if len(array.shape) != len(takes.shape) or not (
                sequence
                or all(want < 0 or want == have for want, have in zip(takes.shape, array.shape))
            ):
                raise inference_failed(
                    f"feed {name} has the shape {list(array.shape)}, "
                    f"the model takes {list(takes.shape)}"
                )
        given = [tensor.name for tensor in query.tensors]
        missing = [name for name in self._inputs if name not in given]
        if missing:
            raise inference_failed(f"feed {', '.join(missing)} is missing")
        if len(given) > len(self._inputs):
            raise inference_failed("a feed is given twice")
