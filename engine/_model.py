"""One loaded model: what may be fed to it, and how queries share a run.

    Model ── check a query, merge those of one key, split what comes out
      Core           runs in this process (``_core``)
      ModelProcess   runs in a process of its own (``_process``)

A model never changes after it was loaded: a reload makes a new one and drops the old. It is
called from one thread only.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from ._model_files import Graph, Input
from ._prototxt import Variable
from ._query import Array, Fetched, Query, Tensor, inference_failed

# What decides whether queries may run together: for each feed its name and the shape of a row.
Key = tuple[tuple[str, tuple[int, ...]], ...]
# An output: the elements, and the offsets of its sequences (none without a lod).
Output = tuple[Array, tuple[int, ...]]


class _Takes(NamedTuple):
    """An input as it is compared with every query. ``row`` is None where rows may differ."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    row: Optional[tuple[int, ...]]
    is_lod: bool


class Model(abc.ABC):
    """A model whose program says ``graph``; ``feeds`` and ``fetches`` are the prototxt's.

    ``together`` says that the rows of a batch do not see each other, so that queries may share a
    run; ``over`` why it serves no longer (empty while it does).
    """

    def __init__(
        self,
        graph: Graph,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        together: bool,
    ) -> None:
        sequences = {feed.name for feed in feeds if feed.is_lod}
        self._takes = {one.name: _taken(one, one.name in sequences) for one in graph.inputs}
        self._fetches = tuple(fetches)
        self._places = {fetch.alias: place for place, fetch in enumerate(fetches)}
        self.together = together
        self.over = ""

    @abc.abstractmethod
    def feed(self, tensors: Sequence[Tensor]) -> list[Output]:
        """Runs the model once; gives every fetch, in the prototxt's order.

        Raises ``ServiceError`` when Paddle refuses.
        """

    @abc.abstractmethod
    def watch(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        """Has ``on_end`` called, in the loop's thread, when the model can serve no longer.

        Until ``unwatch``.
        """

    @abc.abstractmethod
    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """See ``watch``."""

    @abc.abstractmethod
    def close(self) -> None:
        """Gives back what the model holds; nothing may be asked of it afterwards."""

    def wanted(self, aliases: Sequence[str]) -> list[int]:
        """Places of the fetches asked for; none asked: all; an unknown alias: the first one."""
        if not aliases:
            return list(range(len(self._fetches)))
        return [self._places.get(alias, 0) for alias in aliases]

    def check(self, query: Query) -> Optional[Key]:
        """Whether the query fits the model: its key, or None when it has to run alone.

        Raises ``ServiceError`` (E-5100) with the reason.
        """
        if not query.tensors:
            raise inference_failed()
        key = []
        rows = -1
        alone = not self.together
        for name, array, lod in query.tensors:
            takes = self._takes.get(name)
            if takes is None:
                raise inference_failed(
                    f"there is no feed {name or '(without a name)'}; "
                    f"the model has {', '.join(self._takes)}"
                )
            dtype, shape = array.dtype, array.shape
            if dtype != takes.dtype:
                raise inference_failed(
                    f"feed {name} is {dtype.name}, the model takes {takes.dtype.name}"
                )
            # The rows of a sequence are what its lod makes of them; its rank is fixed all the same.
            sequence = lod and takes.is_lod and len(shape) == len(takes.shape)
            if shape[1:] != takes.row and not sequence and not _fits(shape, takes.shape):
                raise inference_failed(
                    f"feed {name} has the shape {list(shape)}, the model takes {list(takes.shape)}"
                )
            if lod or shape[0] == 0 or (rows >= 0 and rows != shape[0]):
                alone = True
            rows = shape[0]
            key.append((name, shape[1:]))
        if len(key) != len(self._takes) or (
            len(key) > 1 and len({name for name, _ in key}) != len(key)
        ):
            given = [name for name, _ in key]
            missing = [name for name in self._takes if name not in given]
            raise inference_failed(
                f"feed {', '.join(missing)} is missing" if missing else "a feed is given twice"
            )
        return None if alone else tuple(key)

    def run_together(self, queries: Sequence[Query]) -> list[list[Fetched]]:
        """One run for queries of one key. Raises ``ServiceError`` for all of them."""
        first = queries[0].tensors
        if len(queries) == 1:
            return [[Fetched(*named) for named in self._named(self.feed(first))]]
        outputs = self.feed(
            [
                Tensor(
                    tensor.name,
                    np.concatenate([query.tensors[place].array for query in queries]),
                    (),
                )
                for place, tensor in enumerate(first)
            ]
        )
        answers = []
        start = 0
        for query in queries:
            end = start + query.tensors[0].array.shape[0]
            answers.append(
                [
                    Fetched(variable, array[start:end], ())
                    for variable, array, _ in self._named(outputs)
                ]
            )
            start = end
        return answers

    def _named(self, outputs: Sequence[Output]) -> list[tuple[Variable, Array, tuple[int, ...]]]:
        return [(variable, *output) for variable, output in zip(self._fetches, outputs)]


def _taken(one: Input, is_lod: bool) -> _Takes:
    free_rows = one.shape[:1] == (-1,) and all(dim >= 0 for dim in one.shape[1:])
    row = one.shape[1:] if free_rows else None
    return _Takes(np.dtype(one.dtype), one.shape, row, is_lod)


def _fits(shape: tuple[int, ...], takes: tuple[int, ...]) -> bool:
    return len(shape) == len(takes) and all(
        want < 0 or want == have for want, have in zip(takes, shape)
    )
