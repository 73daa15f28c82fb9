"""The part of a history that belongs to one remote, and to one of its servers, sorted by kind.

The class answers questions of the claims and the report. It judges no claim. It sorts the events
once, so that frequent questions need no pass through all answers.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Optional

import numpy

from .history import SCHEMA, Event
from .predictions import Columns, Predictions

# The observer sees a change of a file or a log line up to this much late (harness.run.observe).
SEEN_LATE_S = 0.05
# What the server's log says when a reload begins.
RELOAD_BEGIN = "begin reload model["
RELOAD_ERROR = re.compile(
    r"^E.*(Failed (reload|stat config|create model|load)|create paddle predictor failed)"
)
# Our monitor and the stock monitor log this between two polls.
POLL = re.compile(r"\bsleep \d")


def same(value: Sequence[float], expected: Sequence[float], rtol: float) -> bool:
    """Whether two predictions are equal within float32 rounding (``rtol``, relative)."""
    return len(value) == len(expected) > 0 and all(
        math.isclose(a, b, rel_tol=rtol, abs_tol=rtol * 1e-2) for a, b in zip(value, expected)
    )


@dataclass
class LegHistory:
    """Events of one remote (``ftp``) or one of its servers (``ftp/2``).

    Lists are in the order of time; predictions in the order of answers.
    """

    # The name of the leg.
    remote: str
    # The releases that the remote has, whole.
    published: list[Event] = field(default_factory=list)
    # The changes of the live directory.
    swapped: list[Event] = field(default_factory=list)
    # The requests of all clients.
    predictions: Predictions = field(default_factory=lambda: Columns("").sorted())
    # The begins of reloads, from the log of the server.
    reloads: list[Event] = field(default_factory=list)
    # The ends of reloads.
    finished_reloads: list[Event] = field(default_factory=list)
    # The errors of reloads.
    reload_errors: list[Event] = field(default_factory=list)
    # The pulls in the log of the monitor.
    pulls: list[Event] = field(default_factory=list)
    # What our monitor wrote to its event file.
    monitor_events: list[Event] = field(default_factory=list)
    # The polls in the log of the monitor.
    polls: list[Event] = field(default_factory=list)
    # The samples of memory, descriptors, threads and CPU time.
    resources: list[Event] = field(default_factory=list)
    # The starts of the server.
    servers: list[Event] = field(default_factory=list)
    # The ends of the clients.
    ended_clients: list[Event] = field(default_factory=list)
    # The faults that the run caused and ended.
    outages: list[Event] = field(default_factory=list)
    # The begins of all faults.
    outage_begins: list[Event] = field(default_factory=list)
    # The begins of uploads.
    publishing: list[Event] = field(default_factory=list)
    # The releases that were never installed.
    install_failed: list[Event] = field(default_factory=list)
    # The rollbacks that the run caused.
    rollbacks: list[Event] = field(default_factory=list)
    # The settings of the leg.
    settings: Event = field(default_factory=dict)
    # The schema of the run; the newest schema if no run is recorded.
    schema: int = SCHEMA
    # Whether the leg came to its end.
    ended: bool = False
    # Why the leg was cut short, "" when it was not.
    cut_short: str = ""
    # From this time on the observer did not watch the live directory and the logs.
    blind_since: float = math.inf
    # How far a client's clock may be from the run's clock, in seconds. Two clients' clocks may
    # differ by twice that. 0 for a history of one machine (harness.checker.clock).
    clock_error_s: float = 0.0

    @property
    def good(self) -> list[int]:
        """Indices into ``published`` of the releases that have to be served."""
        return [i for i, release in enumerate(self.published) if release.get("good", True)]

    @property
    def unrecorded_since(self) -> float:
        """The time from which a release may be public that has no ``published`` record.

        Infinite, unless the leg was cut short while it published a release.
        """
        if len(self.publishing) <= len(self.published):
            return math.inf
        return float(self.publishing[-1]["t"])

    @property
    def seen_late_s(self) -> float:
        """How much later than an answer the observer may have seen what led to the answer."""
        return SEEN_LATE_S + self.clock_error_s

    def before(self, t: float) -> LegHistory:
        """Return the leg with only the records before the time ``t``."""
        seen = replace(self, predictions=self.predictions.before(t - self.clock_error_s))
        for name in ("swapped", "reloads", "finished_reloads", "reload_errors", "pulls"):
            setattr(seen, name, [event for event in getattr(self, name) if event["t"] < t])
        return seen

    def excused(self, begin: float, end: float) -> bool:
        """Whether an outage in which requests may fail overlaps this time of a client."""
        untils, earliest = self._outages_by_end
        # All outages from here on end after ``begin``.
        after = earliest[bisect_right(untils, begin - self.clock_error_s)]
        return after < end + self.clock_error_s

    @cached_property
    def _outages_by_end(self) -> tuple[list[float], list[float]]:
        """The ends of the outages in order, and a begin for each.

        The begin is the earliest one of this outage and of all that end later. Infinity comes last.
        """
        felt = [outage for outage in self.outages if outage.get("requests", True)]
        outages = sorted(felt, key=lambda outage: float(outage["until"]))
        begins = [float(outage["since"]) for outage in outages]
        earliest = list(accumulate([math.inf, *reversed(begins)], min))
        return [float(outage["until"]) for outage in outages], earliest[::-1]

    def extended(self, begin: float, deadline: float) -> float:
        """Return the deadline, postponed by the time since ``begin`` that outages take."""
        outages, ends = self._outages_by_begin
        for outage in outages[bisect_right(ends, begin) :]:
            overlap_begin = max(outage["since"], begin)
            if overlap_begin >= deadline:
                break
            deadline += max(0.0, outage["until"] - overlap_begin)
        return deadline

    @cached_property
    def _outages_by_begin(self) -> tuple[list[Event], list[float]]:
        """The outages, and the latest end of each one and those before it."""
        outages = sorted(self.outages, key=lambda outage: float(outage["since"]))
        return outages, list(accumulate((float(outage["until"]) for outage in outages), max))

    @cached_property
    def _known(self) -> dict[tuple[float, ...], tuple[int, ...]]:
        return {}

    def releases_of(self, value: Sequence[float]) -> tuple[int, ...]:
        """Indices into ``published`` of the releases that give this prediction.

        Empty without settings, because the settings have the tolerance.
        """
        if not self.settings:
            return ()
        key = tuple(value)
        if key not in self._known:
            rtol = float(self.settings["rtol"])
            self._known[key] = tuple(
                index
                for index in self._close_to(key, rtol)
                if same(key, self.published[index]["expected"], rtol)
            )
        return self._known[key]

    def _close_to(self, value: tuple[float, ...], rtol: float) -> list[int]:
        """Return the releases whose prediction begins with a number as close as ``same`` asks."""
        if not value:
            return []
        firsts, indices = self._by_first_number
        first = value[0]
        # Twice what the tolerance allows: ``same`` decides.
        room = 2 * rtol * max(abs(first), 1e-2) if math.isfinite(first) else 0.0
        close = slice(bisect_left(firsts, first - room), bisect_right(firsts, first + room))
        return sorted(indices[close])

    @cached_property
    def _by_first_number(self) -> tuple[list[float], list[int]]:
        """The first numbers of the releases' predictions in order, and the releases."""
        firsts = sorted(
            (float(release["expected"][0]), index)
            for index, release in enumerate(self.published)
            if release["expected"] and not math.isnan(release["expected"][0])
        )
        return [first for first, _ in firsts], [index for _, index in firsts]

    @cached_property
    def matches(self) -> list[tuple[int, ...]]:
        """For each number of a prediction: the releases that give the prediction."""
        return [self.releases_of(value) for value in self.predictions.values]

    @cached_property
    def _values_of(self) -> dict[int, list[int]]:
        """For each release: the numbers of the predictions that it gives."""
        found: dict[int, list[int]] = defaultdict(list)
        for value, releases in enumerate(self.matches):
            for index in releases:
                found[index].append(value)
        return found

    @cached_property
    def swaps_by_digest(self) -> dict[str, list[float]]:
        """The times at which each digest became the live directory."""
        found: dict[str, list[float]] = defaultdict(list)
        for swap in self.swapped:
            found[swap["digest"]].append(swap["t"])
        return dict(found)

    @cached_property
    def with_digest(self) -> dict[str, list[int]]:
        """The releases with each digest."""
        found: dict[str, list[int]] = defaultdict(list)
        for index, release in enumerate(self.published):
            found[release["digest"]].append(index)
        return dict(found)

    def swaps(self, index: int) -> list[float]:
        """The times at which the release became the live directory (rollbacks included)."""
        return self.swaps_by_digest.get(self.published[index]["digest"], [])

    @cached_property
    def superseded(self) -> dict[int, float]:
        """For each good release: when it no longer had to be served.

        That is when a newer good one was swapped in, or a rollback went back to another one, after
        its publishing began. Infinite when neither happened.
        """
        found = {}
        newer: list[float] = []
        for index in reversed(self.good):
            after = bisect_left(newer, self.published[index]["t_begin"])
            release = self.published[index]
            back = [
                float(event["t"])
                for event in self.rollbacks
                if event["t"] >= release["t_begin"] and event["release"] != release["release"]
            ]
            found[index] = min([*newer[after : after + 1], *back], default=math.inf)
            for t in self.swaps(index):
                insort(newer, t)
        return found

    @cached_property
    def _first_served(self) -> dict[tuple[int, Optional[str], float], Optional[float]]:
        return {}

    def first_served(
        self, index: int, client: Optional[str] = None, since: float = -math.inf
    ) -> Optional[float]:
        """Return when a client, or any client by default, first got the release's prediction.

        Counts no answer before the release's publishing, and none before ``since``.
        """
        key = index, client, since
        if key not in self._first_served:
            self._first_served[key] = self._find_first_served(*key)
        return self._first_served[key]

    def _find_first_served(
        self, index: int, client: Optional[str], since: float
    ) -> Optional[float]:
        asked = self.predictions
        begin = max(since, float(self.published[index]["t_begin"])) - self.clock_error_s
        number = None if client is None else asked.number_of.get(client)
        if client is not None and number is None:
            return None
        found = []
        for value in self._values_of.get(index, ()):
            group = asked.by_value[value] if number is None else asked.with_both(number, value)
            times = asked.answered[group]
            first = int(numpy.searchsorted(times, begin))
            found += [float(t) for t in times[first : first + 1]]
        return min(found, default=None)

    @cached_property
    def latest_served(self) -> dict[str, int]:
        """For each client: the latest release, in the order of publishing, that it was served."""
        found = {}
        for client in self.predictions.number_of:
            for index in range(len(self.published) - 1, -1, -1):
                if self.first_served(index, client) is not None:
                    found[client] = index
                    break
        return found

    def asked(self, client: str) -> int:
        """Return how many requests of a client there are."""
        number = self.predictions.number_of.get(client)
        return 0 if number is None else len(self.predictions.by_client[number])

    @cached_property
    def asked_since(self) -> dict[str, float]:
        """When each client that asked sent its first request."""
        asked = self.predictions
        return {c: float(asked.sent[asked.by_client[i]].min()) for c, i in asked.number_of.items()}

    @cached_property
    def asked_until(self) -> dict[str, float]:
        """When each client that asked got its last answer or error."""
        asked = self.predictions
        last = {client: asked.by_client[i][-1] for client, i in asked.number_of.items()}
        return {client: float(asked.answered[position]) for client, position in last.items()}

    def last_answer(self, client: str) -> Optional[Event]:
        """Return the last request of a client that was answered, None when none was."""
        asked = self.predictions
        if client not in asked.number_of:
            return None
        mine = asked.by_client[asked.number_of[client]]
        answered = mine[asked.value[mine] >= 0]
        return asked[answered[-1]] if len(answered) else None

    def live_between(self, begin: float, end: float) -> set[int]:
        """Return the releases that were in the live directory at any time in between."""
        after = [swap["t"] for swap in self.swapped[1:]] + [math.inf]
        return {
            index
            for swap, until in zip(self.swapped, after)
            if swap["t"] <= end + SEEN_LATE_S and until >= begin
            for index in self.with_digest.get(swap["digest"], ())
        }
