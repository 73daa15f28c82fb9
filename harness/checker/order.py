"""The claim that no client goes back to an older release: the order is that of the swaps.

A release may be swapped in more than once, for example by a rollback. Then an answer does not say
which of these swaps it came from. The claim is broken only if no choice fits: each answer gets the
earliest swap that is not older than what was seen before. A later choice could only make more of
the answers after it older.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict

import numpy

from .leg_history import LegHistory
from .outcome import Claim, claim_about, quoted
from .predictions import Floats, Positions


def no_step_back(leg: LegHistory) -> Claim:
    """Judge whether a client got an older release after a newer one was seen."""
    # The time and the release of each swap. A position is an index into this list.
    order = [
        (float(swap["t"]), index)
        for swap in leg.swapped
        for index in leg.with_digest.get(swap["digest"], ())
    ]
    placed = _positions(leg, order)
    seen = _seen_before(leg, placed)
    wrong = numpy.flatnonzero((placed >= 0) & (seen > placed)).tolist()
    records = [
        {**p, "after_release": leg.published[order[seen[number]][1]]["release"]}
        for number, p in zip(wrong, quoted(leg.predictions, wrong))
    ]
    what = "answers are older than what was seen before"
    return claim_about(leg.remote, "no step back", records, what, len(wrong))


def _positions(leg: LegHistory, order: list[tuple[float, int]]) -> Positions:
    """Return for each request the position of the swap that brought its answer's release.

    -1 for a failed request, or if there was no such swap before the answer.
    """
    asked = leg.predictions
    of_release: dict[int, list[int]] = defaultdict(list)
    for position, (_, index) in enumerate(order):
        of_release[index].append(position)
    placed = numpy.full(len(asked), -1)
    # The positions of each prediction that was swapped in more than once, and how many of them
    # were made before each answer.
    choices: dict[int, list[int]] = {}
    made = numpy.zeros(len(asked), dtype=int)
    for value, releases in enumerate(leg.matches):
        swaps = sorted(position for index in releases for position in of_release[index])
        group = asked.by_value[value]
        times = [order[position][0] for position in swaps]
        made[group] = numpy.searchsorted(times, asked.answered[group] + leg.seen_late_s, "right")
        if len(swaps) == 1:
            placed[group[made[group] > 0]] = swaps[0]
        elif swaps:
            choices[value] = swaps
    if choices:
        _choose(leg, placed, choices, made)
    return placed


def _choose(
    leg: LegHistory, placed: Positions, choices: dict[int, list[int]], made: Positions
) -> None:
    """Place the answers whose release was swapped in more than once."""
    asked = leg.predictions
    unclear = numpy.flatnonzero(numpy.isin(asked.value, list(choices)) & (made > 0))
    unclear = unclear[numpy.argsort(asked.sent[unclear], kind="stable")]
    seen_of_others = _seen_before(leg, placed)
    settled, own_settled = _settled(leg)
    by_all = _Seen(settled, unclear)
    own = {
        client: _Seen(own_settled, unclear[asked.client[unclear] == client])
        for client in numpy.unique(asked.client[unclear]).tolist()
    }
    for number in unclear.tolist():
        sent = asked.sent[number]
        by_client = own[asked.client[number]]
        seen = max(
            seen_of_others[number], by_all.before(sent, placed), by_client.before(sent, placed)
        )
        swaps = choices[asked.value[number]]
        placed[number] = swaps[min(bisect_left(swaps, seen), made[number] - 1)]


class _Seen:
    """The newest position that some requests have shown, for times that only increase."""

    def __init__(self, settled: Floats, numbers: Positions) -> None:
        in_order = numbers[numpy.argsort(settled[numbers], kind="stable")]
        self._numbers: list[int] = in_order.tolist()
        self._ends: list[float] = [*settled[in_order].tolist(), math.inf]
        self._next = 0
        self._newest = -1

    def before(self, sent: float, placed: Positions) -> int:
        """Return the newest position before a time; -1 for none."""
        while self._ends[self._next] < sent:
            self._newest = max(self._newest, int(placed[self._numbers[self._next]]))
            self._next += 1
        return self._newest


def _settled(leg: LegHistory) -> tuple[Floats, Floats]:
    """Return for each answer the time from which no older answer may follow it.

    The first array is for other clients, the second for the client itself. The order of a client's
    own requests is known without an error of a clock.
    """
    own = leg.predictions.answered + float(leg.settings["switch_window_s"])
    return own + 2 * leg.clock_error_s, own


def _seen_before(leg: LegHistory, placed: Positions) -> Positions:
    """Return for each request the newest position seen before it was sent; -1 for none."""
    asked = leg.predictions
    settled, own_settled = _settled(leg)
    seen = _newest(placed, asked.sent, settled)
    for client in asked.number_of.values() if leg.clock_error_s else ():
        own = asked.by_client[client]
        newest = _newest(placed[own], asked.sent[own], own_settled[own])
        seen[own] = numpy.maximum(seen[own], newest)
    return seen


def _newest(placed: Positions, sent: Floats, settled: Floats) -> Positions:
    """Return for each request the newest position that is settled before; -1 for none."""
    positions, firsts = numpy.unique(placed, return_index=True)
    ends = numpy.where(positions < 0, math.inf, settled[firsts])
    by_time = numpy.argsort(ends, kind="stable")
    newest = numpy.maximum.accumulate(numpy.concatenate(([-1], positions[by_time])))
    seen: Positions = newest[numpy.searchsorted(ends[by_time], sent)]
    return seen
