"""The claims about one remote of a run, each a pure function of its history.

=======================  ==============================================================
no request failed        every prediction was answered, within the latency bound
no torn prediction       every answer is, within float32 rounding, that of a release whose
                         publishing began before the answer was given
live directory is whole  whatever was seen in the live directory is a published release
served is swapped        a release is served only after it was swapped in
no step back             once a newer release has been seen and the switch window is over, no
                         client sees an older one; order is the order of swaps
nothing lost             every good release is served, or a newer good one is swapped in,
                         within the bound after its publishing ended
last one serves          at the end every client sees the last good release
same server              the server's processes are the same from first to last
reload in the log        the server's log tells a reload for every release but the one it
                         started with, and no reload that failed
all clients agree        (releases published one by one) each client saw each release
=======================  ==============================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .history import Event
from .leg_history import SEEN_LATE_S, LegHistory


class Outcome(Enum):
    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Claim:
    """One claim about one remote: what it says, what came of it, and why."""

    remote: str
    name: str
    outcome: Outcome
    why: str = ""
    records: tuple[Event, ...] = ()

    def __str__(self) -> str:
        text = f"{self.remote}: {self.name}: {self.outcome.value}"
        return f"{text} ({self.why})" if self.why else text


def judge_leg(leg: LegHistory) -> list[Claim]:
    """The claims about one remote; one that is unknown when its history is not complete."""
    missing = missing_from(leg)
    if missing:
        return [Claim(leg.remote, "history is complete", Outcome.UNKNOWN, missing)]
    return [
        _no_request_failed(leg),
        _no_torn_prediction(leg),
        _live_directory_is_whole(leg),
        _served_is_swapped(leg),
        _no_step_back(leg),
        _nothing_lost(leg),
        _last_one_serves(leg),
        _same_server(leg),
        _reload_in_the_log(leg),
        _all_clients_agree(leg),
    ]


def missing_from(leg: LegHistory) -> str:
    """What the history lacks for a judgement, "" when nothing."""
    if not leg.settings:
        return "no settings were recorded"
    clients = set(leg.settings["clients"])
    planned = leg.settings["releases"]
    needed = [
        ("the settings name no client", bool(clients)),
        ("no release was published", bool(leg.published)),
        (
            f"{len(leg.published)} of {planned} releases were published",
            len(leg.published) == planned,
        ),
        ("no swap was seen", bool(leg.swapped)),
        ("no prediction was asked for", bool(leg.predictions)),
        ("the server's processes were not recorded at both ends", len(leg.servers) >= 2),
    ]
    for why, there in needed:
        if not there:
            return why
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
    return ""


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
        if ("error" in p or p["answered"] - p["sent"] > bound)
        and not leg.excused(p["sent"], p["answered"])
    ]
    what = f"of {len(leg.predictions)} requests failed or took more than {bound:g} s"
    return _claim(leg, "no request failed", failed, what)


def _no_torn_prediction(leg: LegHistory) -> Claim:
    torn = [
        p
        for p in leg.answers
        if not any(
            leg.published[index]["t_begin"] <= p["answered"]
            for index in leg.releases_of(p["value"])
        )
    ]
    return _claim(leg, "no torn prediction", torn, "answers are no published release's")


def _live_directory_is_whole(leg: LegHistory) -> Claim:
    known = {release["digest"] for release in leg.published}
    # A folder that was exchanged away while it was read may have been half deleted by then.
    torn = [s for s in leg.swapped if s["digest"] not in known and not s.get("moved", False)]
    what = "states of the live directory are no published release"
    return _claim(leg, "live directory is whole", torn, what)


def _served_is_swapped(leg: LegHistory) -> Claim:
    wrong = []
    for index, release in enumerate(leg.published):
        served = leg.first_served(index)
        if served is None:
            continue
        # Another release may predict the same; then it may be that one that was served.
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


def deadline_of(leg: LegHistory, release: Event) -> float:
    """Until when a release has to be served or superseded: the bound, longer by each outage.

    It counts from the first request on: before, nobody could be served.
    """
    begin = max(float(release["t_end"]), min(float(p["sent"]) for p in leg.predictions))
    deadline = begin + float(leg.settings["bound_s"])
    for outage in sorted(leg.outages, key=lambda event: float(event["since"])):
        overlap_begin = max(outage["since"], begin)
        if overlap_begin < deadline:
            deadline += max(0.0, outage["until"] - overlap_begin)
    return deadline


def _nothing_lost(leg: LegHistory) -> Claim:
    end = max(float(p["answered"]) for p in leg.predictions)
    good = [i for i, release in enumerate(leg.published) if release.get("good", True)]
    lost: list[Event] = []
    open_yet: list[Event] = []
    for index in good:
        release = leg.published[index]
        deadline = deadline_of(leg, release)
        superseded = [t for k in good if k > index for t in leg.swaps(k) if t >= release["t_begin"]]
        served = leg.first_served(index)
        if any(t <= deadline for t in (served, *superseded) if t is not None):
            continue
        late = {**release, "first_served": served, "deadline": deadline}
        (lost if deadline <= end or served is not None else open_yet).append(late)
    name = "nothing lost"
    if open_yet and not lost:
        why = f"release {open_yet[0]['release']} was still within its bound when the run ended"
        return Claim(leg.remote, name, Outcome.UNKNOWN, why, tuple(open_yet))
    return _claim(leg, name, lost, "releases were neither served nor superseded in time")


def _last_one_serves(leg: LegHistory) -> Claim:
    last = [i for i, release in enumerate(leg.published) if release.get("good", True)][-1]
    wrong = []
    for client in leg.settings["clients"]:
        answers = [p for p in leg.answers if p["client"] == client]
        if not answers or last not in leg.releases_of(answers[-1]["value"]):
            wrong.append(answers[-1] if answers else {"client": client, "answers": 0})
    what = f"clients do not end on release {leg.published[last]['release']}"
    return _claim(leg, "last one serves", wrong, what)


def _same_server(leg: LegHistory) -> Claim:
    first = leg.servers[0]["identity"]
    wrong = [event for event in leg.servers if event["identity"] != first or not first]
    return _claim(leg, "same server", wrong, f"other identities than {first}")


def _reload_in_the_log(leg: LegHistory) -> Claim:
    # The line is written before the answers change, and seen a little late.
    margin = float(leg.settings["switch_window_s"])
    started_with = leg.live_at(leg.servers[0]["t"])
    wrong = list(leg.reload_errors)
    for index, release in enumerate(leg.published):
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
    clients = list(leg.settings["clients"])
    wrong = []
    for index, release in enumerate(leg.published):
        seen = [client for client in clients if leg.first_served(index, client) is not None]
        if leg.settings["paced"] and seen and len(seen) < len(clients):
            wrong.append({"release": release["release"], "seen_by": seen})
    return _claim(leg, "all clients agree", wrong, "releases were seen by some clients only")
