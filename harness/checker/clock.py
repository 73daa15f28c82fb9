"""One clock for the histories of several machines: pure functions of their clock records.

A worker asks the master's clock several times. Each exchange is an event ``clock``. It has the
worker's time of the question (``sent``), the master's time (``master``), and the worker's time of
the answer (``received``). So the round trip bounds the error of the offset.

``estimate`` assumes that a worker's clock runs at a constant rate, and draws a line through two
exchanges. These are the exchanges with the shortest round trip in the first and in the last third
of the time. The round trips bound the line's error at both points, and so everywhere. If another
exchange disagrees by more, the rate was not constant. Then this disagreement is the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from harness.support.errors import BadInput

from .history import Event

_TIMES = ("t", "t_begin", "t_end", "since", "until", "planned", "sent", "answered", "received")
# In ``client_ended`` the field is a number of requests.
_NO_TIMES = {"client_ended": ("planned",)}
# Rounding of the times and of the calculation, in seconds.
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Exchange:
    """One question to the master's clock. Times are seconds; ``master`` is the master's time."""

    # When the worker asked, by the worker's clock.
    sent: float
    master: float
    # When the answer came, by the worker's clock.
    received: float

    @property
    def middle(self) -> float:
        """Return the worker's time that is taken for ``master``."""
        return (self.sent + self.received) / 2

    @property
    def round_trip(self) -> float:
        return self.received - self.sent


@dataclass(frozen=True)
class Clock:
    """How a worker's clock differs from the master's.

    The master's time is ``t + offset_s + drift * (t - since)`` for the worker's time ``t``,
    with an error of at most ``error_s``.
    """

    since: float
    offset_s: float
    drift: float
    error_s: float = 0.0

    def on_master(self, t: float) -> float:
        """Return the master's time for a time of the worker."""
        return t + self.offset_s + self.drift * (t - self.since)

    def shifted(self, event: Event) -> Event:
        """Return the event with each of its times on the master's clock."""
        skipped = _NO_TIMES.get(event["event"], ())
        times = {name: event[name] for name in _TIMES if name in event and name not in skipped}
        return {**event, **{name: self.on_master(t) for name, t in times.items()}}


def exchange_in(event: Event) -> Exchange:
    """Return the exchange that an event ``clock`` records."""
    return Exchange(event["sent"], event["master"], event["received"])


def estimate(exchanges: Sequence[Exchange], begin: float, end: float) -> Clock:
    """Return a worker's clock, with an error that holds from ``begin`` to ``end``.

    Args:
        exchanges: All exchanges of the worker.
        begin: The first time of the worker that matters, on its own clock.
        end: The last one.

    Raises:
        BadInput: There are fewer than two exchanges, or all of them are of one moment.
    """
    since = min((exchange.sent for exchange in exchanges), default=0.0)
    until = max((exchange.received for exchange in exchanges), default=0.0)
    third = (until - since) / 3
    first = _shortest([e for e in exchanges if e.received <= since + third])
    last = _shortest([e for e in exchanges if e.sent >= until - third])
    if first is None or last is None:
        raise BadInput(
            f"{len(exchanges)} clock records in {until - since:.3f} s do not show how the clock "
            "drifts; let the worker run longer, so that it asks at its start and at its end"
        )
    span = last.middle - first.middle
    rate = (last.master - first.master) / span
    line = Clock(since, 0.0, rate - 1)
    line = Clock(since, first.master - line.on_master(first.middle), rate - 1)
    # An exchange's error is half its round trip. Both errors together allow a higher rate, too.
    most = rate * (1 + (first.round_trip + last.round_trip) / span) / 2
    error = max(
        (abs(last.middle - t) * first.round_trip + abs(t - first.middle) * last.round_trip) / span
        for t in (min(begin, since), max(end, until))
    )
    disagreement = max(
        max(line.on_master(e.sent) - e.master, e.master - line.on_master(e.received))
        for e in exchanges
    )
    return Clock(since, line.offset_s, line.drift, max(error * most, disagreement) + _ROUNDING_S)


def _shortest(exchanges: Sequence[Exchange]) -> Optional[Exchange]:
    return min(exchanges, key=lambda exchange: exchange.round_trip, default=None)
