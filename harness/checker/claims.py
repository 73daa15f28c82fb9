"""The claims about one remote of a run: each is a pure function of the leg's history.

=======================  ==============================================================
no request failed        every request was answered, within the latency bound
no torn prediction       every answer is, within float32 rounding, the prediction of a release
                         whose publishing began before the answer
live directory is whole  at every poll the live directory held a published release
served is swapped        a release is served only after its swap
no step back             after a client saw a newer release and the switch window is over, no
                         client sees an older release; the order is that of the swaps
nothing lost             within the bound after its publishing, every good release is served to
                         every client, or a newer good release is swapped in, or a rollback went
                         back to another release
last one serves          at the end every client sees the last good release, or the release to
                         which a later rollback went back
same server              the server's processes are the same at the start and at the end, except
                         after restarts that a scenario makes
reload in the log        the server's log has a reload for every release that came after the
                         server's start, no failed reload, and no more reloads than swaps
all clients agree        (releases published one by one) each client saw each release
live is served           a good release that stays live for two ticks and the time of a load is
                         served to every client, also when a rollback makes it live again
latency at a swap        requests near a swap take no longer than other requests, within the
                         bound (``latency.py``)
memory stays flat        the server's memory does not grow from reload to reload
descriptors stay flat    the open files of server and monitor do not grow
threads stay flat        the threads of server and monitor do not grow
monitor stays idle       the monitor uses a small share of a core
polls stay few           the monitor polls once an interval
bytes stay few           the remote sends no more bytes than polls and pulls need
=======================  ==============================================================

A claim is *invalid* if a record breaks it, even in a leg that was cut short. It is *valid* if no
record breaks it and the leg's history is complete. Otherwise it is *unknown*. ``CLAIMS`` says what
the run must see for each claim. If the run cannot see it, the claim is unknown, too.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from typing import Callable, NamedTuple, Optional

import numpy

from harness.support.errors import BadInput

from . import growth, latency
from .completeness import (
    EXPECTED_PREDICTIONS,
    LIVE_DIRECTORY,
    MONITOR_LOG,
    SERVER_LOG,
    SERVER_PROCESSES,
    SIGHTS,
    missing_from,
)
from .deliveries import all_clients_agree, last_one_serves, live_is_served, nothing_lost
from .history import Event
from .leg_history import LegHistory
from .order import no_step_back
from .outcome import Claim, Outcome, claim_about, quoted

# What a claim looks at, in the words of a report, which counts them.
REQUESTS = "requests"
RELEASES = "releases"
STATES = "states of the live directory"
RELOADS = "reloads"
IDENTITIES = "identity of the server's process"
SAMPLES = "samples of memory, files, threads and CPU time"
POLLS = "polls"


class Rule(NamedTuple):
    """How a claim is judged, and what it needs.

    ``says`` is the claim's sentence for readers. ``looks_at`` names what the claim judges, for a
    report that counts these things. ``needs`` names the ``SIGHTS`` without which the claim is
    unknown. Histories with a schema older than ``schema`` are judged without the claim. A
    ``statistical`` claim needs more samples than a short run has. It may stay unknown unless the
    settings name it.
    """

    judge: Callable[[LegHistory], Claim]
    says: str
    looks_at: tuple[str, ...]
    needs: tuple[str, ...] = ()
    schema: int = 1
    statistical: bool = False


def claims_named(names: Optional[Iterable[str]]) -> list[str]:
    """Return these names of claims in the order of ``CLAIMS``; all claims if None is given.

    Raises:
        BadInput: There is no such claim, or no name.
    """
    if names is None:
        return list(CLAIMS)
    wanted = _known("claim", names, CLAIMS)
    if not wanted:
        raise BadInput("no claim is named, so nothing would be judged; name at least one")
    return [name for name in CLAIMS if name in wanted]


def sights_named(names: Iterable[str]) -> list[str]:
    """Return these ``SIGHTS``. Raises ``BadInput`` for an unknown name."""
    return _known("sight", names, SIGHTS)


def _known(what: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    found = list(names)
    for name in found:
        if name not in known:
            raise BadInput(f"{name!r} is no {what}; use {', '.join(known)}")
    return found


def judge_leg(leg: LegHistory) -> list[Claim]:
    """Judge the claims about one remote that the settings choose.

    Judges all records, even if the leg's history is incomplete. A claim that no record breaks is
    then unknown. A claim is also unknown if it needs something that the run could not see.

    Raises:
        BadInput: The settings name an unknown claim or sight.
    """
    missing = missing_from(leg)
    if not leg.settings:
        return [Claim(leg.remote, "history is complete", Outcome.UNKNOWN, missing)]
    unseen = sights_named(leg.settings.get("unseen", ()))
    required = _required(leg.settings)
    watched = leg if leg.blind_since == math.inf else leg.before(leg.blind_since)
    claims = []
    for name in claims_named(leg.settings.get("claims")):
        rule = CLAIMS[name]
        if rule.schema > leg.schema:
            continue
        lacking = [need for need in rule.needs if need in unseen]
        if lacking:
            why = f"the run could not see: {', '.join(lacking)}"
            claims.append(Claim(leg.remote, name, Outcome.UNKNOWN, why, required=name in required))
            continue
        # Clients record requests, and the leg records processes: both outlast the observer.
        claim = rule.judge(leg if set(rule.needs) <= {SERVER_PROCESSES} else watched)
        if missing and claim.outcome is not Outcome.INVALID:
            claim = replace(claim, outcome=Outcome.UNKNOWN, why=missing)
        claims.append(replace(claim, required=name in required))
    return claims


def _required(settings: Event) -> list[str]:
    """Return the claims that must be known: those in the settings, else the non-statistical."""
    named = settings.get("required", settings.get("claims"))
    if named is not None:
        return _known("claim", named, CLAIMS)
    return [name for name, rule in CLAIMS.items() if not rule.statistical]


def _no_request_failed(leg: LegHistory) -> Claim:
    bound = float(leg.settings["latency_bound_s"])
    asked = leg.predictions
    failed = (asked.error >= 0) | (asked.value < 0) | (asked.answered - asked.sent > bound)
    wrong = [
        position
        for position in numpy.flatnonzero(failed).tolist()
        if not leg.excused(asked.sent[position], asked.answered[position])
    ]
    what = f"of {len(asked)} requests failed or took more than {bound:g} s"
    records = quoted(leg.predictions, wrong)
    return claim_about(leg.remote, "no request failed", records, what, len(wrong))


def _no_torn_prediction(leg: LegHistory) -> Claim:
    asked = leg.predictions
    # The time from which each prediction is allowed. The last item is for failed requests: -1.
    public = [
        min((float(leg.published[index]["t_begin"]) for index in releases), default=math.inf)
        for releases in leg.matches
    ]
    since = numpy.array([*public, -math.inf])[asked.value]
    answered = asked.answered + leg.clock_error_s
    torn = (since > answered) & (answered < leg.unrecorded_since)
    wrong = numpy.flatnonzero(torn).tolist() if leg.published else []
    what = "answers are no published release's"
    records = quoted(leg.predictions, wrong)
    return claim_about(leg.remote, "no torn prediction", records, what, len(wrong))


def _live_directory_is_whole(leg: LegHistory) -> Claim:
    known = {release["digest"] for release in leg.published}
    torn = [
        swap
        for swap in leg.swapped
        if leg.published
        and swap["t"] < leg.unrecorded_since
        and swap["digest"] not in known
        # A folder that a swap replaced during the read may have been half deleted.
        and not swap.get("moved", False)
    ]
    what = "states of the live directory are no published release"
    return claim_about(leg.remote, "live directory is whole", torn, what)


def _served_is_swapped(leg: LegHistory) -> Claim:
    wrong = []
    # If no swap was seen, nothing is known about the live directory.
    for index, release in enumerate(leg.published if leg.swapped else []):
        served = leg.first_served(index)
        if served is None:
            continue
        # The client may have got another release, which gives the same prediction.
        twins = leg.releases_of(release["expected"])
        if not any(t <= served + leg.seen_late_s for twin in twins for t in leg.swaps(twin)[:1]):
            swaps = [t for twin in twins for t in leg.swaps(twin)]
            wrong.append({**release, "first_served": served, "swaps": swaps})
    what = "releases were served without a swap before"
    return claim_about(leg.remote, "served is swapped", wrong, what)


def _same_server(leg: LegHistory) -> Claim:
    expected = leg.servers[0]["identity"] if leg.servers else None
    wrong = []
    for event in leg.servers:
        if event.get("restarted"):
            expected = event["identity"]
        if event["identity"] != expected or not expected:
            wrong.append(event)
    return claim_about(leg.remote, "same server", wrong, f"other identities than {expected}")


def _reload_in_the_log(leg: LegHistory) -> Claim:
    # The server writes the line before its answers change; the observer sees it a little late.
    margin = float(leg.settings["switch_window_s"]) + leg.clock_error_s
    started_with = _started_with(leg)
    wrong = list(leg.reload_errors)
    reloads = [line["t"] for line in leg.reloads]
    # The server reads files until a load ends, so a load may take a release that came after its
    # begin.
    ends = _ends_of_reloads(leg)
    for index, release in enumerate(leg.published if leg.servers and leg.swapped else []):
        served = leg.first_served(index)
        if served is None or index in started_with:
            continue
        since = next(iter(leg.swaps(index)), release["t_begin"])
        told = bisect_left(ends, since - margin)
        if told == len(reloads) or reloads[told] > served + margin:
            wrong.append(release)
    # Only a new second of the time file, which the observer saw as a swap, asks for a reload.
    asked = [swap for swap in leg.swapped if swap.get("second") != 0]
    wrong += leg.reloads[len(asked) :] if leg.swapped else []
    what = "releases served without a line about it, reloads that failed, or without a swap"
    return claim_about(leg.remote, "reload in the log", wrong, what)


def _ends_of_reloads(leg: LegHistory) -> list[float]:
    """Return when each reload ended, or its begin if the log has no end of it."""
    finished = [float(line["t"]) for line in leg.finished_reloads]
    begins = [float(line["t"]) for line in leg.reloads]
    ends = []
    for begin, following in zip(begins, [*begins[1:], math.inf]):
        at = bisect_left(finished, begin)
        ended = at < len(finished) and finished[at] < following
        ends.append(finished[at] if ended else begin)
    return ends


def _started_with(leg: LegHistory) -> set[int]:
    """Return the releases that a start of the server may have loaded, without a line in its log.

    The server reads the live directory between the begin of its start and the time at which it is
    ready. Only the latter is recorded. The first start may have begun at any time. A restart
    begins no earlier than the server's outage; without an outage nothing tells when it began.
    """
    found = set()
    for number, event in enumerate(leg.servers):
        if number and not event.get("restarted"):
            continue
        ready = float(event["t"])
        began = [
            float(outage["since"])
            for outage in leg.outages
            # An outage of the remote starts no server.
            if outage.get("requests", True) and outage["since"] <= ready <= outage["until"]
        ]
        since = min(began, default=ready) if number else -math.inf
        found |= leg.live_between(since, ready)
    return found


def _growth(
    judge: Callable[[LegHistory], Claim], says: str, needs: str, looks_at: tuple[str, ...]
) -> Rule:
    return Rule(judge, says, looks_at, (needs,), schema=2, statistical=True)


_ANSWERS_AND_SWAPS = (EXPECTED_PREDICTIONS, LIVE_DIRECTORY)
# In the order in which a verdict lists them.
CLAIMS: dict[str, Rule] = {
    "no request failed": Rule(
        _no_request_failed, "Every request got an answer, and got it in time.", (REQUESTS,)
    ),
    "no torn prediction": Rule(
        _no_torn_prediction,
        "Every answer is the prediction of one whole, published release.",
        (REQUESTS, RELEASES),
        (EXPECTED_PREDICTIONS,),
    ),
    "live directory is whole": Rule(
        _live_directory_is_whole,
        "The live directory always held one whole release, never a mixture.",
        (STATES,),
        (LIVE_DIRECTORY,),
    ),
    "served is swapped": Rule(
        _served_is_swapped,
        "The server served a release only after the monitor had put it in place.",
        (REQUESTS, STATES),
        _ANSWERS_AND_SWAPS,
    ),
    "no step back": Rule(
        no_step_back,
        "A client that has seen a newer release never got an older one again.",
        (REQUESTS, STATES),
        _ANSWERS_AND_SWAPS,
    ),
    "nothing lost": Rule(
        nothing_lost,
        "Every good release, or a newer one, reached every client in time.",
        (RELEASES, REQUESTS),
        _ANSWERS_AND_SWAPS,
    ),
    "last one serves": Rule(
        last_one_serves,
        "At the end every client got the last good release.",
        (RELEASES, REQUESTS),
        (EXPECTED_PREDICTIONS,),
    ),
    "same server": Rule(
        _same_server,
        "The server's process stayed the same: no restart hid behind a reload.",
        (IDENTITIES,),
        (SERVER_PROCESSES,),
    ),
    "reload in the log": Rule(
        _reload_in_the_log,
        "The server's log has a reload for each release, and no failed one.",
        (RELOADS, RELEASES),
        (*_ANSWERS_AND_SWAPS, SERVER_LOG),
    ),
    "all clients agree": Rule(
        all_clients_agree,
        "All clients saw the same releases.",
        (RELEASES, REQUESTS),
        (EXPECTED_PREDICTIONS,),
    ),
    "live is served": Rule(
        live_is_served,
        "A good release that stayed live long enough was served to every client.",
        (STATES, REQUESTS),
        _ANSWERS_AND_SWAPS,
        schema=2,
    ),
    latency.NAME: Rule(
        latency.judge_latency,
        "Requests near a swap took no longer than other requests.",
        (REQUESTS, RELOADS),
        (SERVER_LOG,),
        schema=2,
        statistical=True,
    ),
    "memory stays flat": _growth(
        growth.memory_stays_flat,
        "The server's memory did not grow from reload to reload.",
        SERVER_LOG,
        (SAMPLES, RELOADS),
    ),
    "descriptors stay flat": _growth(
        growth.descriptors_stay_flat,
        "Server and monitor did not collect open files.",
        SERVER_LOG,
        (SAMPLES, RELOADS),
    ),
    "threads stay flat": _growth(
        growth.threads_stay_flat,
        "Server and monitor did not collect threads.",
        SERVER_LOG,
        (SAMPLES, RELOADS),
    ),
    "monitor stays idle": _growth(
        growth.monitor_stays_idle,
        "The monitor used only a small share of a processor core.",
        MONITOR_LOG,
        (SAMPLES, POLLS),
    ),
    "polls stay few": _growth(
        growth.polls_stay_few,
        "The monitor polled once an interval, not more often.",
        MONITOR_LOG,
        (POLLS,),
    ),
    "bytes stay few": _growth(
        growth.bytes_stay_few,
        "The remote sent no more bytes than the polls and pulls needed.",
        MONITOR_LOG,
        (SAMPLES, POLLS),
    ),
}
