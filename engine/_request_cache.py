"""Answers kept for equal queries (``--request_cache_size``), least recently used first out.

A cache belongs to one core: a reload starts with an empty one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Optional

from ._query import Fetched, Query

# What a kept answer costs besides its elements: key, tuples and array objects.
_OVERHEAD = 1024
# An offset of a lod: an int object and the tuple's pointer to it.
_OFFSET = 36

Key = tuple[Any, ...]


def key_of(query: Query) -> Key:
    """Equal for queries that get equal answers: everything but the log id and the fetch list."""
    return tuple(
        (name, array.dtype.char, array.shape, array.tobytes(), lod)
        for name, array, lod in query.tensors
    )


class RequestCache:
    """At most ``size`` bytes of queries and answers; 0 keeps none."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._kept: OrderedDict[Key, tuple[list[Fetched], int]] = OrderedDict()

    def __bool__(self) -> bool:
        return self._size > 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Optional[list[Fetched]]:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Key, fetched: list[Fetched]) -> None:
        """Keeps an answer, if it is not larger than the whole cache."""
        cost = _OVERHEAD + sum(len(part[3]) + _OFFSET * len(part[4]) for part in key)
        cost += sum(one.array.nbytes + _OFFSET * len(one.lod) for one in fetched)
        if cost > self._size or key in self._kept:
            return
        # A slice of a batch would keep the whole batch in memory.
        own = [one._replace(array=one.array.copy()) for one in fetched]
        self._kept[key] = (own, cost)
        self._used += cost
        while self._used > self._size:
            _, (_, freed) = self._kept.popitem(last=False)
            self._used -= freed

    def clear(self) -> int:
        """Drops everything; gives how many answers that were."""
        count = len(self._kept)
        self._kept.clear()
        self._used = 0
        return count
