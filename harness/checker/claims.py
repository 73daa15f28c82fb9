"""The claims about one remote of a run: each is a pure function of the leg's history.

=======================  ==============================================================
no request failed        every request was answered, within the latency bound
no torn prediction       every answer is, within float32 rounding, that of a release whose
                         publishing began before the answer was given
live directory is whole  whatever was seen in the live directory is a published release
served is swapped        a release is served only after it was swapped in
no step back             once a newer release has been seen and the switch window is over, no
                         client sees an older one; order is the order of swaps
nothing lost             every good release is served to every client, or a newer good one is
                         swapped in, within the bound after its publishing ended
last one serves          at the end every client sees the last good release
same server              the server's processes are the same from first to last
reload in the log        the server's log tells a reload for every release but the one it
                         started with, and no reload that failed
all clients agree        (releases published one by one) each client saw each release
=======================  ==============================================================

A claim is *invalid* if a record breaks it, even in a leg that was cut short. It is *valid* if no
record breaks it and the leg's history is complete. Otherwise it is *unknown*. ``CLAIMS`` says what
each claim needs to see; without that it is unknown, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Callable, NamedTuple, Optional

from harness.support.errors import BadInput

from .history import Event
from .leg_history import SEEN_LATE_S, LegHistory
from .outcome import Claim, Outcome

# What a run may be unable to see from outside, as ``unseen`` in the settings names it.
SERVER_LOG = "server log"
MONITOR_LOG = "monitor log"
LIVE_DIRECTORY = "live directory"
EXPECTED_PREDICTIONS = "expected predictions"
SERVER_PROCESSES = "server processes"
SIGHTS = (SERVER_LOG, MONITOR_LOG, LIVE_DIRECTORY, EXPECTED_PREDICTIONS, SERVER_PROCESSES)


class Rule(NamedTuple):
    """How a claim is judged, which ``SIGHTS`` that needs, and since which schema it can be.

    A history of an older schema is judged without the claim. A ``statistical`` claim needs more
    samples than a short run has, so it need not be known unless the settings name it.
    """

    judge: Callable[[LegHistory], Claim]
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
        # Neither requests nor processes are the observer's: they are recorded to the end.
        claim = rule.judge(leg if set(rule.needs) <= {SERVER_PROCESSES} else watched)
        if missing and claim.outcome is not Outcome.INVALID:
            claim = replace(claim, outcome=Outcome.UNKNOWN, why=missing)
        claims.append(replace(claim, required=name in required))
    return claims


def _required(settings: Event) -> list[str]:
    """Return the claims that must be known: those that the settings name, else all but some."""
    named = settings.get("required", settings.get("claims"))
    if named is not None:
        return _known("claim", named, CLAIMS)
    return [name for name, rule in CLAIMS.items() if not rule.statistical]


def missing_from(leg: LegHistory) -> str:
    """Return what the history lacks, or "" when it is complete."""
    if leg.cut_short:
        return f"the leg was cut short: {leg.cut_short}"
    if not leg.settings:
        return "no settings were recorded"
    if leg.blind_since == -math.inf:
        return "a line of the history is damaged"
    if leg.blind_since < math.inf:
        return "the observer ended before the leg did"
    clients = set(leg.settings["clients"])
    unseen = leg.settings.get("unseen", ())
    planned = leg.settings["releases"]
    needed = [
        ("the settings name no client", bool(clients)),
        ("no release was published", bool(leg.published)),
        (
            f"{len(leg.published)} of {planned} releases were published",
            len(leg.published) == planned,
        ),
        ("no swap was seen", bool(leg.swapped) or LIVE_DIRECTORY in unseen),
        ("no prediction was asked for", bool(leg.predictions)),
        (
            "the server's processes were not recorded at both ends",
            len(leg.servers) >= 2 or SERVER_PROCESSES in unseen,
        ),
    ]
    for why, there in needed:
        if not there:
            return why
    if SERVER_PROCESSES not in unseen:
        if leg.servers[0]["t"] > min(p["sent"] for p in leg.predictions):
            return "the server's processes were first recorded after the first request"
        if leg.servers[-1]["t"] < max(p["answered"] for p in leg.predictions):
            return "the server's processes were last recorded before the last answer"
    ended = {event["client"] for event in leg.ended_clients}
    if clients - ended:
        return f"the client(s) {', '.join(sorted(clients - ended))} did not come to an end"
    for event in leg.ended_clients:
        asked = sum(1 for p in leg.predictions if p["client"] == event["client"])
        if asked != event["asked"]:
            client = event["client"]
            return f"{client} asked {event['asked']} times, the history has {asked} answers"
    return "" if leg.ended else "no end of the leg was recorded"


def _claim(leg: LegHistory, name: str, wrong: list[Event], what: str) -> Claim:
    if not wrong:
        return Claim(leg.remote, name, Outcome.VALID)
    first = {key: value for key, value in wrong[0].items() if key not in ("event", "t", "remote")}
    why = f"{len(wrong)} {what}, the first: {first}"
    return Claim(leg.remote, name, Outcome.INVALID, why, tuple(wrong[:20]))


def _no_request_failed(leg: LegHistory) -> Claim:
    bound = float(leg.settings["latency_bound_s"])
    failed = [
        p
        for p in leg.predictions
        if ("error" in p or "value" not in p or p["answered"] - p["sent"] > bound)
        and not leg.excused(p["sent"], p["answered"])
    ]
    what = f"of {len(leg.predictions)} requests failed or took more than {bound:g} s"
    return _claim(leg, "no request failed", failed, what)


def _no_torn_prediction(leg: LegHistory) -> Claim:
    torn = [
        p
        for p in leg.answers
        if leg.published
        and p["answered"] < leg.unrecorded_since
        and not any(
            leg.published[index]["t_begin"] <= p["answered"]
            for index in leg.releases_of(p["value"])
        )
    ]
    return _claim(leg, "no torn prediction", torn, "answers are no published release's")


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
    return _claim(leg, "live directory is whole", torn, what)


def _served_is_swapped(leg: LegHistory) -> Claim:
    wrong = []
    # If no swap was seen, nothing is known about the live directory.
    for index, release in enumerate(leg.published if leg.swapped else []):
        served = leg.first_served(index)
        if served is None:
            continue
        # The client may have got another release with the same prediction.
        twins = leg.releases_of(release["expected"])
        swaps = [t for twin in twins for t in leg.swaps(twin)]
        if not any(t <= served + SEEN_LATE_S for t in swaps):
            wrong.append({**release, "first_served": served, "swaps": swaps})
    return _claim(leg, "served is swapped", wrong, "releases were served without a swap before")


def _no_step_back(leg: LegHistory) -> Claim:
    """Judged on the order of swaps: position in it, for the swaps made before the answer."""
    window = float(leg.settings["switch_window_s"])
    order = [
        (swap["t"], index)
        for swap in leg.swapped
        for index, release in enumerate(leg.published)
        if release["digest"] == swap["digest"]
    ]
    firsts: dict[int, float] = {}  # position: when it was first answered
    wrong = []
    for p in leg.answers:
        possible = leg.releases_of(p["value"])
        made = [
            k
            for k, (t, index) in enumerate(order)
            if index in possible and t <= p["answered"] + SEEN_LATE_S
        ]
        if not made:
            continue  # torn, or served without a swap: said by those claims
        position = made[-1]
        newer = [k for k, t in firsts.items() if k > position and t + window < p["sent"]]
        if newer:
            wrong.append({**p, "after_release": leg.published[order[max(newer)][1]]["release"]})
        firsts.setdefault(position, p["answered"])
    return _claim(leg, "no step back", wrong, "answers are older than what was seen before")


def deadline_of(leg: LegHistory, release: Event, client: str) -> Optional[float]:
    """Return the time by which a release must be served to a client, or superseded.

    The bound counts from the end of the publishing or from the client's first request, whichever
    is later. Each outage extends it.

    Returns:
        The deadline; None when the client never asked.
    """
    first = min((float(p["sent"]) for p in leg.asked_by(client)), default=None)
    if first is None:
        return None
    begin = max(float(release["t_end"]), first)
    deadline = begin + float(leg.settings["bound_s"])
    for outage in sorted(leg.outages, key=lambda event: float(event["since"])):
        overlap_begin = max(outage["since"], begin)
        if overlap_begin < deadline:
            deadline += max(0.0, outage["until"] - overlap_begin)
    return deadline


def _asked_after(leg: LegHistory, client: str, t: float) -> bool:
    """Return whether the client still asked at ``t``, so that its answers are known."""
    return any(p["answered"] >= t for p in leg.asked_by(client))


def _nothing_lost(leg: LegHistory) -> Claim:
    lost: list[Event] = [
        {"release": event["release"], "client": client, "why": event["why"]}
        for event in leg.install_failed
        for client in leg.settings["clients"]
    ]
    open_yet: list[Event] = []
    for index in leg.good:
        release = leg.published[index]
        superseded = [
            t for k in leg.good if k > index for t in leg.swaps(k) if t >= release["t_begin"]
        ]
        for client in leg.settings["clients"]:
            deadline = deadline_of(leg, release, client)
            served = leg.first_served(index, client)
            late = {
                "release": release["release"],
                "client": client,
                "first_served": served,
                "deadline": deadline,
            }
            if deadline is None:
                open_yet.append(late)
            elif any(t <= deadline for t in (served, *superseded) if t is not None):
                continue
            elif served is not None or _asked_after(leg, client, deadline):
                lost.append(late)
            else:
                open_yet.append(late)
    name = "nothing lost"
    if lost:
        return Claim(leg.remote, name, Outcome.INVALID, _what_was_lost(leg, lost), tuple(lost[:20]))
    if open_yet:
        late = open_yet[0]
        why = f"release {late['release']} was still within its bound when {late['client']} ended"
        return Claim(leg.remote, name, Outcome.UNKNOWN, why, tuple(open_yet))
    return Claim(leg.remote, name, Outcome.VALID)


def _what_was_lost(leg: LegHistory, lost: list[Event]) -> str:
    """Name the lost releases, each with the clients that lacked it."""
    bound = f"{float(leg.settings['bound_s']):g} s"
    said = []
    for number in dict.fromkeys(event["release"] for event in lost):
        mine = [event for event in lost if event["release"] == number]
        clients = ", ".join(dict.fromkeys(event["client"] for event in mine))
        if "why" in mine[0]:
            said.append(f"release {number} was not installed for {clients}: {mine[0]['why']}")
        elif all(event["first_served"] is None for event in mine):
            said.append(f"release {number} was not served to {clients} within {bound}")
        else:
            said.append(f"release {number} was served to {clients} later than after {bound}")
    return "; ".join(said)


def _last_one_serves(leg: LegHistory) -> Claim:
    wrong: list[Event] = []
    open_yet: list[Event] = []
    for index in leg.good[-1:]:
        for client in leg.settings["clients"]:
            answers = [p for p in leg.asked_by(client) if "value" in p]
            if answers and index in leg.releases_of(answers[-1]["value"]):
                continue
            last = answers[-1] if answers else {"client": client, "answers": 0}
            deadline = deadline_of(leg, leg.published[index], client)
            # Neither served nor late: the history ends too early for a judgement.
            undecided = leg.first_served(index, client) is None and (
                deadline is None or not _asked_after(leg, client, deadline)
            )
            # A newer release may have been served.
            undecided = undecided or leg.unrecorded_since < math.inf
            (open_yet if undecided else wrong).append(last)
    name = "last one serves"
    if open_yet and not wrong:
        why = f"the last release was still within its bound when {open_yet[0]['client']} ended"
        return Claim(leg.remote, name, Outcome.UNKNOWN, why, tuple(open_yet))
    number = leg.published[leg.good[-1]]["release"] if wrong else 0
    return _claim(leg, name, wrong, f"clients do not end on release {number}")


def _same_server(leg: LegHistory) -> Claim:
    first = leg.servers[0]["identity"] if leg.servers else None
    wrong = [event for event in leg.servers if event["identity"] != first or not first]
    return _claim(leg, "same server", wrong, f"other identities than {first}")


def _reload_in_the_log(leg: LegHistory) -> Claim:
    # The server writes the line before its answers change; the observer sees it a little late.
    margin = float(leg.settings["switch_window_s"])
    started_with = leg.live_at(leg.servers[0]["t"]) if leg.servers else None
    wrong = list(leg.reload_errors)
    for index, release in enumerate(leg.published if leg.servers and leg.swapped else []):
        served = leg.first_served(index)
        if served is None or index == started_with:
            continue
        since = min((t for t in leg.swaps(index)), default=release["t_begin"])
        told = any(since - margin <= line["t"] <= served + margin for line in leg.reloads)
        if not told:
            wrong.append(release)
    what = "releases were served without a line about it, or reloads that failed"
    return _claim(leg, "reload in the log", wrong, what)


def _all_clients_agree(leg: LegHistory) -> Claim:
    wrong = []
    for index, release in enumerate(leg.published if leg.settings["paced"] else []):
        served = {c: leg.first_served(index, c) for c in leg.settings["clients"]}
        seen = [client for client, t in served.items() if t is not None]
        missed = [c for c, t in served.items() if t is None and _has_missed(leg, index, c)]
        if seen and missed:
            wrong.append({"release": release["release"], "seen_by": seen, "missed_by": missed})
    return _claim(leg, "all clients agree", wrong, "releases were seen by some clients only")


def _has_missed(leg: LegHistory, index: int, client: str) -> bool:
    """Return whether a release can no longer be served to a client.

    That is so when its bound is over, or when a newer release was served to the client.
    """
    newer = range(index + 1, len(leg.published))
    if any(leg.first_served(later, client) is not None for later in newer):
        return True
    deadline = deadline_of(leg, leg.published[index], client)
    return deadline is not None and _asked_after(leg, client, deadline)


_ANSWERS_AND_SWAPS = (EXPECTED_PREDICTIONS, LIVE_DIRECTORY)
# In the order in which a verdict lists them.
CLAIMS: dict[str, Rule] = {
    "no request failed": Rule(_no_request_failed),
    "no torn prediction": Rule(_no_torn_prediction, (EXPECTED_PREDICTIONS,)),
    "live directory is whole": Rule(_live_directory_is_whole, (LIVE_DIRECTORY,)),
    "served is swapped": Rule(_served_is_swapped, _ANSWERS_AND_SWAPS),
    "no step back": Rule(_no_step_back, _ANSWERS_AND_SWAPS),
    "nothing lost": Rule(_nothing_lost, _ANSWERS_AND_SWAPS),
    "last one serves": Rule(_last_one_serves, (EXPECTED_PREDICTIONS,)),
    "same server": Rule(_same_server, (SERVER_PROCESSES,)),
    "reload in the log": Rule(_reload_in_the_log, (*_ANSWERS_AND_SWAPS, SERVER_LOG)),
    "all clients agree": Rule(_all_clients_agree, (EXPECTED_PREDICTIONS,)),
}
