"""The claims on growth and cost: server and monitor do not grow, and the monitor costs little.

The events ``resources`` are samples of a part and of all processes that the part started.

Growth is judged from reload to reload. During a reload a server may have its old and its new
worker, so only the smallest sample between two reloads counts. If a part was restarted, the
longest time without a restart counts.

- Memory: the Theil–Sen slope over the reloads, with one-sided 95 % limits from Kendall's normal
  approximation. Outliers hardly change this slope. The claim holds if the upper limit is below the
  bound. The claim is broken if the lower limit is not below the bound. Otherwise the noise is too
  large for so few reloads, and the claim is unknown.
- Descriptors and threads: the reloads are split into thirds. The numbers grow if each value of a
  third is above each value of the third before. A number that rises at the start, or goes up
  and down, does not grow.

The monitor's cost is judged after its first poll, over the longest time without an outage, because
retries in an outage would count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Optional, Union

from .history import Event
from .leg_history import LegHistory
from .outcome import Claim, Outcome

MIN_RELOADS = 20
# How much the server's memory may grow at each reload, unless a scenario says otherwise.
MEMORY_BOUND_BYTES = 100_000
MIN_POLLS = 10
# One-sided 95 %.
_Z = 1.645
# 2,000 points would have 2,000,000 pairs, which take seconds.
_MAX_POINTS = 400

Points = list[tuple[int, float]]


def memory_stays_flat(leg: LegHistory) -> Claim:
    """Judge whether the server's memory grows from reload to reload."""
    name = "memory stays flat"
    bound = leg.settings.get("memory_bound_bytes")
    if bound is None:
        return _unknown(leg, name, "the settings have no memory_bound_bytes")
    points = _minima(leg, "server", "rss_bytes")
    if len(points) < MIN_RELOADS:
        return _unknown(leg, name, _too_few(leg, "server", points))
    low, slope, high = slope_with_limits(points)
    why = (
        f"the server's memory grows by {slope / 1e3:,.0f} KB a reload ({low / 1e3:,.0f} to "
        f"{high / 1e3:,.0f} KB; {len(points)} reloads; bound {bound / 1e3:,.0f} KB)"
    )
    if high < bound:
        return Claim(leg.remote, name, Outcome.VALID, why)
    if low >= bound:
        return Claim(leg.remote, name, Outcome.INVALID, why, _first_and_last(leg, "server"))
    return _unknown(leg, name, f"{why}; more reloads would tell")


def descriptors_stay_flat(leg: LegHistory) -> Claim:
    """Judge whether the open files of server or monitor grow from reload to reload."""
    return _stays_flat(leg, "descriptors stay flat", "fds", "descriptors")


def threads_stay_flat(leg: LegHistory) -> Claim:
    """Judge whether the threads of server or monitor grow from reload to reload."""
    return _stays_flat(leg, "threads stay flat", "threads", "threads")


def monitor_stays_idle(leg: LegHistory) -> Claim:
    """Judge the share of a core that the monitor takes."""
    name = "monitor stays idle"
    bound = leg.settings.get("monitor_cpu_bound")
    if bound is None:
        return _unknown(leg, name, "the settings have no monitor_cpu_bound")
    watched = _polling(leg)
    if isinstance(watched, str):
        return _unknown(leg, name, watched)
    first, last, _ = watched
    seconds = last["t"] - first["t"]
    share = (last["cpu_s"] - first["cpu_s"]) / seconds
    why = f"the monitor takes {share:.1%} of a core over {seconds:.0f} s (bound {bound:.0%})"
    return _within(leg, name, share <= bound, why, first, last)


def polls_stay_few(leg: LegHistory) -> Claim:
    """Judge the number of polls: one an interval, and one more for each release."""
    name = "polls stay few"
    watched = _polling(leg)
    if isinstance(watched, str):
        return _unknown(leg, name, watched)
    first, last, polls = watched
    seconds = last["t"] - first["t"]
    # Samples and polls do not coincide, and two clocks may differ a little.
    allowed = 1.1 * seconds / leg.settings["poll_s"] + 2 + len(_published(leg, first, last))
    why = f"the monitor polls {polls} times in {seconds:.0f} s (bound {allowed:.0f})"
    return _within(leg, name, polls <= allowed, why, first, last)


def bytes_stay_few(leg: LegHistory) -> Claim:
    """Judge the bytes that leave the remote: a bound for each poll, and two pulls a release."""
    name = "bytes stay few"
    bound = leg.settings.get("poll_bound_bytes")
    if bound is None:
        return _unknown(leg, name, "the settings have no poll_bound_bytes")
    watched = _polling(leg)
    if isinstance(watched, str):
        return _unknown(leg, name, watched)
    first, last, polls = watched
    if "bytes" not in first:
        return _unknown(leg, name, "nothing counts the bytes of this remote")
    releases = _published(leg, first, last)
    if any("size" not in release for release in releases):
        return _unknown(leg, name, "the size of a release is not recorded")
    sent = last["bytes"] - first["bytes"]
    # The donefile is read before and after a pull. A pull during which it changed is repeated.
    allowed = bound * (polls + 2 + 3 * len(releases)) + 2 * sum(r["size"] for r in releases)
    why = (
        f"{sent / 1e3:,.0f} KB leave the remote in {polls} polls and {len(releases)} releases "
        f"(bound {allowed / 1e3:,.0f} KB)"
    )
    return _within(leg, name, sent <= allowed, why, first, last)


def slope_with_limits(points: Points) -> tuple[float, float, float]:
    """Return the lower limit, Theil and Sen's slope, and the upper limit.

    Many points are thinned: the smallest of each of ``_MAX_POINTS`` groups of neighbours counts.
    """
    step = math.ceil(len(points) / _MAX_POINTS)
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    thin = [(group[0][0], min(value for _, value in group)) for group in groups]
    slopes = sorted((b - a) / (j - i) for (i, a), (j, b) in combinations(thin, 2))
    count = len(thin)
    beside = _Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18) / 2
    middle = len(slopes) / 2
    low = slopes[max(0, math.floor(middle - beside))]
    high = slopes[min(len(slopes) - 1, math.ceil(middle + beside))]
    return low, slopes[len(slopes) // 2], high


def grows(values: Sequence[float]) -> bool:
    """Return whether each third of the values lies wholly above the third before."""
    third = len(values) // 3
    first, middle, last = values[:third], values[third:-third], values[-third:]
    return max(first) < min(middle) and max(middle) < min(last)


def _stays_flat(leg: LegHistory, name: str, field: str, what: str) -> Claim:
    said = []
    for part in ("server", "monitor"):
        points = _minima(leg, part, field)
        if len(points) < MIN_RELOADS:
            return _unknown(leg, name, _too_few(leg, part, points))
        values = [value for _, value in points]
        third = len(values) // 3
        early, late = values[:third], values[-third:]
        said.append(
            f"the {part}'s {what}: {min(early):.0f} to {max(early):.0f} at first, "
            f"{min(late):.0f} to {max(late):.0f} at last, {len(values)} reloads"
        )
        if grows(values):
            records = _first_and_last(leg, part)
            return Claim(leg.remote, name, Outcome.INVALID, f"{said[-1]}: they grow", records)
    return Claim(leg.remote, name, Outcome.VALID, "; ".join(said))


def _minima(leg: LegHistory, part: str, field: str) -> Points:
    """Return the smallest sample after each reload, with the reload's number."""
    samples = [one for one in _longest(leg, part) if field in one]
    if not samples:
        return []
    begins = [
        reload["t"] for reload in leg.reloads if samples[0]["t"] <= reload["t"] <= samples[-1]["t"]
    ]
    points: Points = []
    where = 0
    for number, begin in enumerate(begins):
        end = begins[number + 1] if number + 1 < len(begins) else math.inf
        smallest: Optional[float] = None
        while where < len(samples) and samples[where]["t"] < end:
            if samples[where]["t"] >= begin:
                value = samples[where][field]
                smallest = value if smallest is None else min(smallest, value)
            where += 1
        if smallest is not None:
            points.append((number, smallest))
    return points


def _longest(leg: LegHistory, part: str, *, calm: bool = False) -> list[Event]:
    """Return the samples of the longest time without a restart and, if ``calm``, an outage."""
    lives: list[list[Event]] = []
    life: list[Event] = []
    for sample in leg.resources:
        if sample["part"] != part:
            continue
        ended = bool(life) and (
            sample["pid"] != life[-1]["pid"]
            or (
                calm
                and any(
                    outage["since"] < sample["t"] and outage["until"] > life[-1]["t"]
                    for outage in leg.outages
                )
            )
        )
        if not life or ended:
            life = []
            lives.append(life)
        life.append(sample)
    return max(lives, key=lambda one: float(one[-1]["t"] - one[0]["t"]), default=[])


def _polling(leg: LegHistory) -> Union[tuple[Event, Event, int], str]:
    """Return the first and last sample to judge and the polls between; or why there are none."""
    samples = _longest(leg, "monitor", calm=True)
    if not samples:
        return "the monitor was not sampled: it runs in a container or on another machine"
    # Start-up, before the first poll, does not count.
    polls = [one["t"] for one in leg.polls if samples[0]["t"] <= one["t"] <= samples[-1]["t"]]
    if polls:
        samples = [one for one in samples if one["t"] >= polls[0]]
        polls = [t for t in polls if t >= samples[0]["t"]]
    if len(polls) < MIN_POLLS:
        return f"{len(polls)} polls of the monitor were seen, {MIN_POLLS} are needed"
    return samples[0], samples[-1], len(polls)


def _published(leg: LegHistory, first: Event, last: Event) -> list[Event]:
    """Return the releases that a monitor may have pulled between two samples."""
    # The pull of a release may begin with its publishing, and end long after it.
    since = first["t"] - float(leg.settings["bound_s"])
    return [one for one in leg.published if since <= one["t_end"] and one["t_begin"] <= last["t"]]


def _first_and_last(leg: LegHistory, part: str) -> tuple[Event, ...]:
    samples = _longest(leg, part)
    return (samples[0], samples[-1])


def _too_few(leg: LegHistory, part: str, points: Points) -> str:
    if not _longest(leg, part):
        return f"the {part} was not sampled: it runs in a container or on another machine"
    return f"the {part} was sampled over {len(points)} reloads, {MIN_RELOADS} are needed"


def _unknown(leg: LegHistory, name: str, why: str) -> Claim:
    return Claim(leg.remote, name, Outcome.UNKNOWN, why)


def _within(leg: LegHistory, name: str, holds: bool, why: str, *samples: Event) -> Claim:
    if holds:
        return Claim(leg.remote, name, Outcome.VALID, why)
    return Claim(leg.remote, name, Outcome.INVALID, why, samples)
