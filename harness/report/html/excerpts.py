"""Log lines and events around a moment, in the order of time."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from harness.checker.history import Event
from harness.checker.leg_history import LegHistory

# At most so many lines before and after the moment.
MAX_LINES = 20
_MIN_FOLDED = 3


@dataclass(frozen=True)
class Line:
    """A line of a log, or an event in words; ``t`` counts from the begin of the run."""

    t: float
    # The log or the part that it comes from.
    source: str
    # The line, or the event in words.
    text: str


@dataclass(frozen=True)
class Excerpt:
    """The lines around one moment, and how many others of that time are left out."""

    # The moment, in seconds from the begin of the run.
    t: float
    # What happened at that moment.
    title: str
    # The lines around it, in order.
    lines: tuple[Line, ...]
    # How many other lines of that time are left out.
    left_out: int


class Journal:
    """All lines of one leg that are no requests."""

    def __init__(self, leg: LegHistory, events: Iterable[Event], begin: float) -> None:
        """Sort the events of the leg; events that say nothing to a reader are left out."""
        numbers = {
            digest: leg.published[found[0]]["release"] for digest, found in leg.with_digest.items()
        }
        self._lines = sorted(
            (
                Line(float(event["t"]) - begin, source, text)
                for event in events
                for source, text in _said(event, numbers)
            ),
            key=lambda line: line.t,
        )
        self._times = [line.t for line in self._lines]

    def around(self, t: float, title: str, before_s: float, after_s: float) -> Excerpt:
        """Return the lines from ``before_s`` seconds before ``t`` to ``after_s`` after."""
        first, last = bisect_left(self._times, t - before_s), bisect_right(self._times, t + after_s)
        lines = list(_folded(self._lines[first:last]))
        middle = sum(1 for line in lines if line.t < t)
        shown = lines[max(middle - MAX_LINES, 0) : middle + MAX_LINES]
        return Excerpt(t, title, tuple(shown), len(lines) - len(shown))


def _folded(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines; neighbours that differ only in numbers become one line with a count."""
    for _, alike in groupby(lines, lambda line: (line.source, re.sub(r"\d+", "", line.text))):
        first, *more = alike
        if len(more) < _MIN_FOLDED:
            yield from (first, *more)
        else:
            yield replace(first, text=f"{first.text} (and {len(more)} more lines like this)")


def _said(event: Event, numbers: dict[str, int]) -> list[tuple[str, str]]:
    """Return the source and the text of an event; nothing if a reader does not need the event."""
    kind = event["event"]
    if kind == "monitor_log":
        return [("monitor's log", str(event["line"]))]
    if kind == "server_log":
        return [("server's log", str(event["line"]))]
    if kind == "monitor_event":
        more = f": {event['why']}" if event.get("why") else ""
        return [("monitor", f"{event['what']} release {event.get('release')}{more}")]
    if kind == "swapped":
        number = numbers.get(event["digest"])
        state = "no published release" if number is None else f"release {number}"
        return [("live directory", f"holds {state}")]
    text = _harness_says(kind, event)
    return [("harness", text)] if text else []


def _harness_says(kind: str, event: dict[str, Any]) -> str:
    if kind == "published":
        bad = "" if event.get("good", True) else f" (bad: {event.get('bad')})"
        return f"release {event['release']}{bad} is published"
    if kind == "server":
        again = " after a restart" if event.get("restarted") else ""
        return f"the server's process{again} is {event['identity']}"
    if kind == "rollback":
        return f"rolled back to release {event['release']}"
    if kind == "unserved":
        clients = ", ".join(event["clients"])
        return f"release {event['release']} was not served to {clients} in time"
    if kind == "fault":
        return f"the fault {event['fault']} of {event['target']} has ended"
    if kind == "outage":
        return f"the outage has ended: {event['why']}"
    if kind in ("install_failed", "cut_short", "observer_ended"):
        return f"{kind.replace('_', ' ')}: {event['why']}"
    return ""
