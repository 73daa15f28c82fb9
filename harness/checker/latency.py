"""Latency around swaps: the requests that are compared, and the claim about them.

A *swap window* begins at a reload in the server's log, and is ``latency_window_s`` wide. Each
request belongs to the reload nearest to its planned time, and is in the swap window of that reload
or outside. A *control window* has the same width and lies at a later tick without a reload.

Latency counts from the planned time of a request. *Lag* is the time from the planned time until
the request is sent. It counts only if the client was free at the planned time. So the load
generator, not the server, causes the lag.

The clocks of a merged history differ by an error. So windows, and the times that are left out, are
longer by this error on both sides.

These requests are left out: failed requests, and requests planned during an outage, before all
clients ask, or while the producer makes a release. Clients that start, and the producer, use the
processors that the server needs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from .leg_history import LegHistory
from .outcome import MAX_QUOTED, Claim, Outcome
from .predictions import Floats

NAME = "latency at a swap"
# The fewest samples beyond a quantile with which the quantile is known.
MIN_BEYOND = 10
# The fewest requests of a client in a swap window, and outside, that make a pair.
MIN_REQUESTS = 10
# The fewest swaps that give limits, and the fewest whose limits assume no shape (``limits``).
MIN_SWAPS = 3
MIN_SWAPS_OF_ANY_SHAPE = 5
# The share of the bound that the generator's lag may have at p99.
MAX_LAG = 0.1
_LEVEL = 0.05

Flags = NDArray[numpy.bool_]


@dataclass(frozen=True)
class Samples:
    """The compared requests of one client, in the order of their planned times. Times: seconds."""

    # From the planned time to the answer.
    latency: Floats
    # NaN where the client was not free.
    lag: Floats
    # The index of the nearest reload; -1 if there is no reload.
    reload: NDArray[numpy.int64]
    # Whether the request was planned in a swap window.
    in_swap: Flags
    # Whether the request was planned in a window of the same width without a swap.
    in_control: Flags


@dataclass(frozen=True)
class Rise:
    """How much higher the mean latency is in windows than outside, in seconds.

    Each of ``pairs`` has a client, a reload's index and the difference. The value of a swap is the
    mean of its pairs. ``low`` and ``high`` are the one-sided 95 % limits of the swaps' median.
    """

    pairs: tuple[tuple[str, int, float], ...]
    swaps: int
    median: float
    low: float
    high: float


def samples(leg: LegHistory) -> dict[str, Samples]:
    """Return the compared requests of each client that has planned times.

    Empty if the settings do not say how wide a window is.
    """
    if "latency_window_s" not in leg.settings:
        return {}
    reloads = numpy.array(sorted(event["t"] for event in leg.reloads), dtype=float)
    width = float(leg.settings["latency_window_s"])
    before, after = leg.seen_late_s, width + leg.clock_error_s
    swaps = [(t - before, t + after) for t in reloads]
    controls = _control_windows(reloads, before, after, float(leg.settings["tick_s"]))
    left_out = [(outage["since"], outage["until"]) for outage in leg.outages]
    left_out += _publishing(leg)
    left_out.append((-numpy.inf, max(leg.asked_since.values(), default=0.0)))
    error = leg.clock_error_s
    left_out = [(begin - error, end + error) for begin, end in left_out]
    found = {}
    asked = leg.predictions
    for client, number in asked.number_of.items():
        mine = asked.by_client[number]
        mine = mine[~numpy.isnan(asked.planned[mine])]
        if not len(mine):
            continue
        mine = mine[numpy.argsort(asked.planned[mine], kind="stable")]
        planned, sent, answered = asked.planned[mine], asked.sent[mine], asked.answered[mine]
        free = numpy.concatenate(([True], answered[:-1] <= planned[1:]))
        kept = (asked.value[mine] >= 0) & ~_within(planned, left_out)
        nearest = numpy.full(len(mine), -1)
        if len(reloads):
            nearest = numpy.searchsorted((reloads[1:] + reloads[:-1]) / 2, planned)
        found[client] = Samples(
            latency=(answered - planned)[kept],
            lag=numpy.where(free, sent - planned, numpy.nan)[kept],
            reload=nearest[kept],
            in_swap=_within(planned, swaps)[kept],
            in_control=_within(planned, controls)[kept],
        )
    return found


def _control_windows(
    reloads: Floats, before: float, after: float, tick: float
) -> list[tuple[float, float]]:
    """Return a window at a tick after each reload, where one fits in before the next reload."""
    shift = tick * numpy.ceil((before + after) / tick)
    following = numpy.append(reloads[1:], numpy.inf)
    return [
        (t + shift - before, t + shift + after)
        for t, end in zip(reloads, following)
        if t + shift + after <= end - before
    ]


def _publishing(leg: LegHistory) -> list[tuple[float, float]]:
    """Return when the producer made a release."""
    asked = numpy.array([event["t"] for event in leg.publishing], dtype=float)
    made = []
    for release in leg.published:
        before = asked[asked <= release["t_begin"]]
        made.append((float(before[-1]) if len(before) else release["t_begin"], release["t_end"]))
    return made


def _within(times: Floats, windows: Iterable[tuple[float, float]]) -> Flags:
    """Tell for each of the sorted times whether it is in one of the windows."""
    found = numpy.zeros(len(times), dtype=bool)
    for begin, end in windows:
        found[numpy.searchsorted(times, begin) : numpy.searchsorted(times, end)] = True
    return found


def quantile(values: Floats, share: float) -> float:
    """Return a quantile; NaN if fewer than ``MIN_BEYOND`` values lie beyond it."""
    if len(values) * (1 - share) < MIN_BEYOND - 1e-9:
        return float("nan")
    return float(numpy.quantile(values, share))


def lags(found: dict[str, Samples]) -> Floats:
    """Return the generator's lags of all clients, in seconds."""
    everything: Floats = numpy.concatenate([numpy.empty(0), *(one.lag for one in found.values())])
    free: Floats = everything[~numpy.isnan(everything)]
    return free


def rise(found: dict[str, Samples], *, control: bool = False) -> Rise:
    """Compare the swap windows, or the control windows, with the requests outside."""
    pairs = []
    for client, one in found.items():
        inside = _means(one, one.in_control if control else one.in_swap)
        outside = _means(one, ~one.in_swap & ~one.in_control)
        pairs += [
            (client, index, inside[index] - outside[index]) for index in inside if index in outside
        ]
    of_swap: dict[int, list[float]] = defaultdict(list)
    for _, index, difference in pairs:
        of_swap[index].append(difference)
    values = numpy.array([numpy.mean(differences) for differences in of_swap.values()])
    median = float(numpy.median(values)) if pairs else float("nan")
    return Rise(tuple(pairs), len(values), median, *limits(values))


def limits(values: Floats) -> tuple[float, float]:
    """Return the one-sided 95 % limits of the median of independent values.

    From ``MIN_SWAPS_OF_ANY_SHAPE`` values on, the limits are two of the values (the sign test).
    They hold for values of any distribution. For fewer values, a limit lies beyond the outermost
    value, by a share of the range of the values. These limits hold for distributions without a gap
    around the median. ``docs/history.md`` explains the share.

    Returns:
        The lower and the upper limit; infinite for fewer than ``MIN_SWAPS`` values.
    """
    count = len(values)
    if count < MIN_SWAPS:
        return -math.inf, math.inf
    ordered = numpy.sort(values)
    if count < MIN_SWAPS_OF_ANY_SHAPE:
        share = 2 ** ((MIN_SWAPS_OF_ANY_SHAPE - count) / (count - 1)) - 1
        beyond = share * (ordered[-1] - ordered[0])
        return float(ordered[0] - beyond), float(ordered[-1] + beyond)
    # ``above`` values lie above the upper limit. The median does so with a chance of 5 % at most.
    above, chance = 0, 0.5**count
    while chance + math.comb(count, above + 1) * 0.5**count <= _LEVEL:
        above += 1
        chance += math.comb(count, above) * 0.5**count
    return float(ordered[above]), float(ordered[-1 - above])


def _means(one: Samples, chosen: Flags) -> dict[int, float]:
    """Return the mean latency of the chosen requests at each reload that has enough of them."""
    at = one.reload[chosen & (one.reload >= 0)]
    sums = numpy.bincount(at, one.latency[chosen & (one.reload >= 0)])
    counts = numpy.bincount(at)
    enough = numpy.flatnonzero(counts >= MIN_REQUESTS)
    return {int(index): float(sums[index] / counts[index]) for index in enough}


def _spread_outside(found: dict[str, Samples]) -> float:
    """Return by how much p90 is above the median outside: the largest of the clients."""
    outside = [one.latency[~one.in_swap & ~one.in_control] for one in found.values()]
    return max(
        float(numpy.quantile(latency, 0.9) - numpy.median(latency))
        for latency in outside
        if len(latency)
    )


def judge_latency(leg: LegHistory) -> Claim:
    """Judge whether requests take no longer at a swap than outside, within the bound.

    Valid if the upper 95 % limit of the median rise is below the bound. Invalid if the lower limit
    is above it by more than latency varies outside, and the control windows do not show such a
    rise too. Otherwise unknown.
    """

    def unknown(why: str) -> Claim:
        return Claim(leg.remote, NAME, Outcome.UNKNOWN, why)

    if "latency_rise_bound_s" not in leg.settings:
        return unknown("the settings have no latency_rise_bound_s")
    bound = float(leg.settings["latency_rise_bound_s"])
    found = samples(leg)
    if not found:
        return unknown("no client has planned times: the load was not open-loop")
    at_swaps, at_ticks = rise(found), rise(found, control=True)
    if at_swaps.swaps < MIN_SWAPS:
        return unknown(
            f"{MIN_SWAPS} swaps with {MIN_REQUESTS} requests of a client in the window and "
            f"{MIN_REQUESTS} outside are needed, the run has {at_swaps.swaps}"
        )
    own = lags(found)
    lag = quantile(own, 0.99)
    total = sum(len(one.lag) for one in found.values())
    if not lag >= 0:
        return unknown(
            f"{len(own)} of {total} requests found their client free, too few for a p99 of the "
            "load generator's lag"
        )
    if lag > MAX_LAG * bound:
        return unknown(
            f"the load generator itself lags by {_ms(lag)} at p99 of {len(own)} requests; "
            f"at most {_ms(MAX_LAG * bound)} lets latency be judged"
        )
    why = (
        f"median {_ms(at_swaps.median)}, 95 % limits {_ms(at_swaps.low)} and {_ms(at_swaps.high)}, "
        f"of {at_swaps.swaps} swaps; control {_ms(at_ticks.median)} of {at_ticks.swaps}; "
        f"lag {_ms(lag)} at p99 of {len(own)}"
    )
    if at_swaps.high < bound:
        return Claim(leg.remote, NAME, Outcome.VALID, why)
    # On a busy machine loading a model takes the processors that serving needs.
    noise = _spread_outside(found)
    if at_swaps.low < bound + noise:
        return unknown(
            f"the rise is neither below {_ms(bound)} nor clearly above it, because latency outside "
            f"varies by {_ms(noise)}: {why}"
        )
    if at_ticks.swaps and at_ticks.high >= bound:
        return unknown(f"the ticks without a swap may show a rise of {_ms(bound)} too: {why}")
    records = tuple(
        {"client": client, "swap": index + 1, "rise_ms": round(difference * 1000, 3)}
        for client, index, difference in at_swaps.pairs[:MAX_QUOTED]
    )
    return Claim(leg.remote, NAME, Outcome.INVALID, f"over {_ms(bound)}: {why}", records)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
