"""The lanes of a leg's timeline: who had which release when, and what went wrong when.

Times are seconds from the begin of the run. A lane has at most ``MAX_SPANS`` spans: shorter
neighbours become one span that says how many changes it hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy

from harness.checker.history import Event
from harness.checker.leg_history import LegHistory
from harness.checker.predictions import Floats
from harness.report.moments import Moments

MAX_SPANS = 400
MAX_MARKS = 150
FAILURE = "failure"
NOTE = "note"


@dataclass(frozen=True)
class Span:
    """A time in which a part had one release; ``release`` None: none, an unknown, or several."""

    # The begin, in seconds from the begin of the run.
    begin: float
    # The end.
    end: float
    release: Optional[int]
    # What a reader sees when the pointer rests on it.
    text: str
    # How many further changes it stands for.
    changes: int = 0


@dataclass(frozen=True)
class Mark:
    """Something that happened at one time; ``kind`` is ``FAILURE`` or ``NOTE``."""

    # The time, in seconds from the begin of the run.
    t: float
    # What happened.
    text: str
    kind: str = NOTE


@dataclass(frozen=True)
class Lane:
    """One row of the timeline."""

    # The part.
    name: str
    # Its releases.
    spans: tuple[Span, ...]
    # What happened to it.
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Shade:
    """A time in which a fault or an outage was caused on purpose."""

    # The begin, in seconds from the begin of the run.
    begin: float
    # The end.
    end: float
    # What was caused.
    text: str


def lanes(leg: LegHistory, found: Sequence[Moments], begin: float, end: float) -> list[Lane]:
    """Return the lanes of a leg, from the producer to the clients.

    Args:
        leg: The history.
        found: The moments of each of ``leg.published``.
        begin: When the run began, on the history's clock.
        end: When the leg ended, on the history's clock.
    """
    made = [
        _producer(leg),
        _remote(leg, end),
        _monitor(leg, found),
        _live_directory(leg, end),
        _server(leg, found, end),
        *(_client(leg, client) for client in clients_of(leg)),
    ]
    return [_few(lane, begin) for lane in made]


def clients_of(leg: LegHistory) -> list[str]:
    """Return the clients that asked, in the order of the settings."""
    asked = leg.predictions.number_of
    named = [client for client in leg.settings.get("clients", []) if client in asked]
    return list(dict.fromkeys([*named, *asked]))


def shades(leg: LegHistory, faults: Iterable[Event], begin: float, end: float) -> list[Shade]:
    """Return the faults and outages of a leg. They last until ``end`` at most."""
    found = [
        (event, f"fault {event['fault']} of {event['target']}")
        for event in faults
        if "since" in event and "until" in event
    ]
    # A fault that stops a part is an outage, too.
    shown = {f"the {text}" for _, text in found}
    others = [event for event in leg.outages if event["why"] not in shown]
    found += [(event, f"outage: {event['why']}") for event in others]
    return [
        Shade(float(event["since"]) - begin, min(float(event["until"]), end) - begin, text)
        for event, text in found
    ]


def _producer(leg: LegHistory) -> Lane:
    spans = []
    asked = [float(event["t"]) for event in leg.publishing]
    for release in leg.published:
        done = float(release["t_end"])
        since = max((t for t in asked if t <= done), default=float(release["t_begin"]))
        kind = f" (bad: {release.get('bad')})" if not release.get("good", True) else ""
        text = f"makes and publishes release {release['release']}{kind}"
        spans.append(Span(since, done, release["release"], text))
    return Lane("producer", tuple(spans))


def _remote(leg: LegHistory, end: float) -> Lane:
    times = [*(float(release["t_end"]) for release in leg.published), end]
    spans = [
        Span(t, max(t, until), release["release"], f"announces release {release['release']}")
        for release, t, until in zip(leg.published, times, times[1:])
    ]
    return Lane(f"remote: {leg.remote}", tuple(spans))


def _monitor(leg: LegHistory, found: Sequence[Moments]) -> Lane:
    spans = []
    for one in found:
        times = [
            one.at[moment]
            for moment in ("seen", "pulled", "verified", "staged", "swapped")
            if moment in one.at
        ]
        if times:
            text = f"pulls, verifies and swaps in release {one.release}"
            spans.append(Span(times[0], max(times), one.release, text))
    marks = [
        Mark(float(event["t"]), f"{event['what']} {event.get('why', '')}".strip(), FAILURE)
        for event in leg.monitor_events
        if event["what"] in ("failed", "quarantined")
    ]
    marks += [
        Mark(one.at["swapped"], f"swaps in release {one.release}")
        for one in found
        if "swapped" in one.at
    ]
    marks += [
        Mark(float(event["t"]), f"rollback to release {event['release']}")
        for event in leg.rollbacks
    ]
    return Lane("monitor", tuple(spans), tuple(marks))


def _live_directory(leg: LegHistory, end: float) -> Lane:
    spans: list[Span] = []
    marks = []
    times = [*(float(swap["t"]) for swap in leg.swapped), end]
    for swap, t, until in zip(leg.swapped, times, times[1:]):
        number = _release_of(leg, swap["digest"])
        text = "no published release" if number is None else f"release {number} is live"
        if number is None:
            marks.append(Mark(t, text, FAILURE))
        if spans and number is not None and spans[-1].release == number:
            # Only the time file changed.
            spans[-1] = replace(spans[-1], end=max(t, until))
        else:
            spans.append(Span(t, max(t, until), number, text))
    return Lane("live directory", tuple(spans), tuple(marks))


def _release_of(leg: LegHistory, digest: str) -> Optional[int]:
    found = leg.with_digest.get(digest)
    return int(leg.published[found[0]]["release"]) if found else None


def _server(leg: LegHistory, found: Sequence[Moments], end: float) -> Lane:
    """Return what the server had loaded: at each start, and at the end of each reload."""
    loads: list[tuple[float, Optional[int]]] = []
    marks = []
    starts = leg.servers[:1]
    restarts = [event for event in leg.servers[1:] if event.get("restarted")]
    for event in (*starts, *restarts):
        # A swap during the start leaves open which release the server loaded.
        live = [swap["digest"] for swap in leg.swapped if swap["t"] <= event["t"]][-1:]
        loads.append((float(event["t"]), _release_of(leg, live[0]) if live else None))
        if event.get("restarted"):
            marks.append(Mark(float(event["t"]), "the server is ready after a restart"))
    loads += [
        (one.at.get("loaded", one.at["tick"]), one.release) for one in found if "tick" in one.at
    ]
    loads.sort()
    marks += [
        Mark(one.at["tick"], f"tick: begins to load release {one.release}")
        for one in found
        if "tick" in one.at
    ]
    marks += [Mark(float(event["t"]), event["line"], FAILURE) for event in leg.reload_errors]
    times = [*(t for t, _ in loads), end]
    spans = [
        Span(t, max(t, until), number, f"has loaded release {number}")
        for (t, number), until in zip(loads, times[1:])
    ]
    return Lane("server", tuple(spans), tuple(marks))


def _client(leg: LegHistory, client: str) -> Lane:
    asked = leg.predictions
    mine = asked.by_client[asked.number_of[client]]
    # The release of each number of a prediction; -1 for none, and for a failed request (last).
    release_of = [
        int(leg.published[releases[-1]]["release"]) if releases else -1 for releases in leg.matches
    ]
    answered = mine[asked.value[mine] >= 0]
    spans = []
    if len(answered):
        release = numpy.array(release_of)[asked.value[answered]]
        times = asked.answered[answered]
        changes = numpy.flatnonzero(numpy.diff(release)) + 1
        for first, after in zip([0, *changes], [*changes, len(release)]):
            number = int(release[first])
            told = f"release {number}" if number >= 0 else "no published release"
            text = f"{after - first:,} answers of {told}"
            end = times[after - 1]
            spans.append(
                Span(float(times[first]), float(end), number if number >= 0 else None, text)
            )
    return Lane(
        client, tuple(spans), tuple(_failures(asked.answered[mine[asked.error[mine] >= 0]]))
    )


def _failures(times: Floats) -> list[Mark]:
    """Return a mark for each failed request, or for groups of neighbours if there are many."""
    if not len(times):
        return []
    width = max((times[-1] - times[0]) / MAX_MARKS, 1e-3)
    groups, firsts, counts = numpy.unique(
        ((times - times[0]) / width).astype(int), return_index=True, return_counts=True
    )
    del groups
    return [
        Mark(float(times[first]), f"{count:,} failed request{'s' if count > 1 else ''}", FAILURE)
        for first, count in zip(firsts, counts)
    ]


def _few(lane: Lane, begin: float) -> Lane:
    """Return the lane with few spans and marks, and with times that count from ``begin``."""
    spans: list[Span] = []
    if lane.spans:
        least = (lane.spans[-1].end - lane.spans[0].begin) / MAX_SPANS
        crowded = len(lane.spans) > MAX_SPANS
        for span in lane.spans:
            short = crowded and span.end - span.begin < least
            if short and spans and spans[-1].changes and span.end - spans[-1].begin < 2 * least:
                last = spans[-1]
                changes = last.changes + 1
                spans[-1] = Span(last.begin, span.end, None, f"{changes} changes", changes)
            else:
                spans.append(replace(span, changes=1) if short else span)
    return Lane(
        lane.name,
        tuple(replace(span, begin=span.begin - begin, end=span.end - begin) for span in spans),
        tuple(replace(mark, t=mark.t - begin) for mark in lane.marks[:MAX_MARKS]),
    )
