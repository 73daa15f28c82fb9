"""The requests of a leg in columns, so that millions of them fit into memory and sort quickly.

A run has many requests, but few different clients, predictions and errors. A column holds the index
of each, and -1 for "none". ``Predictions[i]`` gives the whole record again.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Union, overload

import numpy
from numpy.typing import NDArray

from .history import Event

Floats = NDArray[numpy.float64]
Numbers = NDArray[numpy.int32]
Positions = NDArray[numpy.intp]
_FIELDS = frozenset(
    ("event", "remote", "t", "client", "n", "planned", "sent", "answered", "value", "error")
)


@dataclass(frozen=True, eq=False)
class Predictions(Sequence[Event]):
    """The requests of one leg in the order of their answers (``answered``)."""

    # The name of the leg.
    remote: str
    # The different clients.
    clients: tuple[str, ...]
    # The different predictions.
    values: tuple[tuple[float, ...], ...]
    # The different errors.
    errors: tuple[object, ...]
    # What a record holds beside the columns.
    rests: tuple[Event, ...]
    # When the record was written.
    t: Floats
    # When the request was planned to be sent; NaN where it was not planned.
    planned: Floats
    # When the request was sent.
    sent: Floats
    answered: Floats
    # The number of the request, as its client counts.
    n: NDArray[numpy.int64]
    # Number into ``clients``.
    client: Numbers
    # Number into ``values``.
    value: Numbers
    # Number into ``errors``.
    error: Numbers
    # Number into ``rests``.
    rest: Numbers

    def __len__(self) -> int:
        return len(self.answered)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: Union[int, slice]) -> Union[Event, list[Event]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        event: Event = {"event": "prediction", "t": float(self.t[index]), "remote": self.remote}
        event["client"] = self.clients[self.client[index]]
        event["n"] = int(self.n[index])
        if self.value[index] >= 0:
            event["value"] = list(self.values[self.value[index]])
        if self.error[index] >= 0:
            event["error"] = self.errors[self.error[index]]
        if not math.isnan(self.planned[index]):
            event["planned"] = float(self.planned[index])
        event["sent"] = float(self.sent[index])
        event["answered"] = float(self.answered[index])
        if self.rest[index] >= 0:
            event.update(self.rests[self.rest[index]])
        return event

    def _columns(self) -> list[str]:
        return [f.name for f in fields(self) if isinstance(getattr(self, f.name), numpy.ndarray)]

    def before(self, t: float) -> Predictions:
        """Return the requests that were answered before the time ``t``."""
        end = numpy.searchsorted(self.answered, t)
        return replace(self, **{name: getattr(self, name)[:end] for name in self._columns()})

    @property
    def is_finite(self) -> bool:
        """Whether each time is a finite number."""
        times = (self.t, self.sent, self.answered)
        return all(bool(numpy.isfinite(column).all()) for column in times)

    def sent_between(self, begin: float, end: float) -> tuple[int, int]:
        """Return how many requests were sent from ``begin`` to before ``end``; how many failed."""
        sent, failed = self._by_sent
        first, last = numpy.searchsorted(sent, (begin, end))
        return int(last - first), int(failed[last] - failed[first])

    @cached_property
    def _by_sent(self) -> tuple[Floats, NDArray[numpy.int64]]:
        """The times of sending in order; before each, and at the end, the number of errors."""
        order = numpy.argsort(self.sent)
        failed = numpy.concatenate(([0], numpy.cumsum(self.error[order] >= 0)))
        return self.sent[order], failed

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The number of each client that asked."""
        asked = set(numpy.unique(self.client).tolist())
        return {client: i for i, client in enumerate(self.clients) if i in asked}

    @cached_property
    def by_client(self) -> Groups:
        """The positions of the requests of each client, by its number."""
        return Groups(self.client)

    @cached_property
    def by_value(self) -> Groups:
        """The positions of the requests with each prediction, by its number (-1: failed)."""
        return Groups(self.value)

    @cached_property
    def _by_both(self) -> Groups:
        return Groups(self.client * numpy.int64(len(self.values) + 1) + self.value)

    def with_both(self, client: int, value: int) -> Positions:
        """Return the positions of a client's requests with a prediction, by their numbers."""
        return self._by_both[client * (len(self.values) + 1) + value]


class Groups:
    """Positions grouped by a key, in each group in ascending order."""

    def __init__(self, keys: NDArray[numpy.integer[Any]]) -> None:
        self._order: Positions = numpy.argsort(keys, kind="stable")
        found, begins = numpy.unique(keys[self._order], return_index=True)
        ends = [*begins[1:].tolist(), len(keys)]
        self._spans = dict(zip(found.tolist(), map(slice, begins.tolist(), ends)))

    def __getitem__(self, key: int) -> Positions:
        """Return the group's positions; none for a key that has no group."""
        group: Positions = self._order[self._spans.get(key, slice(0))]
        return group


class Columns:
    """Collects the requests of one leg, in any order."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._clients: dict[str, int] = {}
        self._values: dict[tuple[float, ...], int] = {}
        self._errors: dict[object, int] = {}
        self._rests: list[Event] = []
        self._columns: list[array[Any]] = [array(kind) for kind in "ddddqiiii"]
        self._append = [column.append for column in self._columns]

    def add(self, event: Event) -> None:
        """Add an event ``prediction``."""
        t, planned, sent, answered, n, client, value, error, rest = self._append
        t(event["t"])
        planned(event.get("planned", math.nan))
        sent(event["sent"])
        answered(event["answered"])
        n(event["n"])
        client(self._clients.setdefault(event["client"], len(self._clients)))
        value(
            self._values.setdefault(tuple(event["value"]), len(self._values))
            if "value" in event
            else -1
        )
        error(
            self._errors.setdefault(event["error"], len(self._errors)) if "error" in event else -1
        )
        if event.keys() <= _FIELDS:
            rest(-1)
        else:
            rest(len(self._rests))
            self._rests.append({key: event[key] for key in event if key not in _FIELDS})

    def sorted(self) -> Predictions:
        """Return the requests in the order of their answers."""
        columns = [numpy.frombuffer(column, column.typecode) for column in self._columns]
        order = numpy.argsort(columns[3], kind="stable")
        return Predictions(
            self._remote,
            tuple(self._clients),
            tuple(self._values),
            tuple(self._errors),
            tuple(self._rests),
            *(column[order] for column in columns),
        )
