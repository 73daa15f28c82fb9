"""The checker: a pure function from a history to a verdict.

Three outcomes. *Valid*: every claim below held. *Invalid*: a claim did not, and the offending
records are quoted. *Unknown*: the history does not say (nothing was asked, a record is missing);
a crash of the checker is unknown, too.

The claims, for each remote of a run and outside the windows that it declares:

==================  ================================================================
no request failed   every prediction was answered
no torn prediction  every answer is, within float32 rounding, that of a release whose
                    publishing began before the answer was given
no step back        once a newer release has been seen and the switch window is over, no
                    client sees an older one; order is the order of swaps
nothing lost        every good release is served, or a newer one is swapped in, within the
                    run's bound after its publishing ended
last one serves     at the end every client sees the last good release
same server         the server's processes are the same at the end as at the start
reload in the log   the server's log tells a reload for every release after the first
all clients agree   every client saw every release that any client saw
==================  ================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

from .history import SCHEMA, Event


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


@dataclass(frozen=True)
class Verdict:
    """What the checker says of a whole run."""

    claims: tuple[Claim, ...] = ()

    @property
    def outcome(self) -> Outcome:
        found = {claim.outcome for claim in self.claims}
        if Outcome.INVALID in found:
            return Outcome.INVALID
        if Outcome.UNKNOWN in found or not found:
            return Outcome.UNKNOWN
        return Outcome.VALID

    @property
    def exit_code(self) -> int:
        """0 all claims hold, 1 a claim failed, 3 unknown."""
        return {Outcome.VALID: 0, Outcome.INVALID: 1, Outcome.UNKNOWN: 3}[self.outcome]

    @property
    def broken(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if claim.outcome is not Outcome.VALID)


@dataclass
class Leg:
    """The part of a history that belongs to one remote, sorted by kind."""

    remote: str
    published: list[Event] = field(default_factory=list)
    swapped: list[Event] = field(default_factory=list)
    predictions: list[Event] = field(default_factory=list)
    reloads: list[Event] = field(default_factory=list)
    pulls: list[Event] = field(default_factory=list)
    servers: list[Event] = field(default_factory=list)
    ended_clients: list[Event] = field(default_factory=list)
    outages: list[Event] = field(default_factory=list)
    settings: Event = field(default_factory=dict)
    # A run has many answers and few different ones.
    _known: dict[tuple[float, ...], set[int]] = field(default_factory=dict)

    def excused(self, begin: float, end: float) -> bool:
        """Whether a declared outage overlaps the time from ``begin`` to ``end``."""
        return any(begin < outage["until"] and end > outage["since"] for outage in self.outages)

    def releases_of(self, value: list[float]) -> set[int]:
        """Indices into ``published`` of the releases that give this prediction."""
        key = tuple(value)
        if key not in self._known:
            rtol = float(self.settings["rtol"])
            self._known[key] = {
                index
                for index, release in enumerate(self.published)
                if _same(value, release["expected"], rtol)
            }
        return self._known[key]

    def swaps(self, index: int) -> list[float]:
        """The times at which the release became the live directory (rollbacks included)."""
        digest = self.published[index]["digest"]
        return [swap["t"] for swap in self.swapped if swap["digest"] == digest]


def _same(value: list[float], expected: list[float], rtol: float) -> bool:
    return len(value) == len(expected) and all(
        math.isclose(a, b, rel_tol=rtol, abs_tol=rtol * 1e-2) for a, b in zip(value, expected)
    )


def legs(events: Iterable[Event]) -> dict[str, Leg]:
    """Sorts a history by remote and kind. Raises ``ValueError`` for another schema."""
    found: dict[str, Leg] = {}
    kinds = {
        "published": "published",
        "swapped": "swapped",
        "prediction": "predictions",
        "server": "servers",
        "client_ended": "ended_clients",
        "outage": "outages",
    }
    for event in events:
        if event["event"] == "run" and event["schema"] != SCHEMA:
            raise ValueError(f"the history has schema {event['schema']}, this checker {SCHEMA}")
        if "remote" not in event:
            continue
        leg = found.setdefault(event["remote"], Leg(event["remote"]))
        kind = event["event"]
        if kind in kinds:
            getattr(leg, kinds[kind]).append(event)
        elif kind == "settings":
            leg.settings = event
        elif kind == "server_log" and "begin reload model[" in event["line"]:
            leg.reloads.append(event)
        elif kind == "monitor_log" and "pull remote model(" in event["line"]:
            leg.pulls.append(event)
    for leg in found.values():
        leg.predictions.sort(key=lambda event: float(event["answered"]))
    return found


def judge(events: Iterable[Event]) -> Verdict:
    """The verdict on a whole history."""
    try:
        found = legs(events)
        if not found:
            why = "the history names no remote: nothing was run"
            return Verdict((Claim("-", "run", Outcome.UNKNOWN, why),))
        return Verdict(tuple(claim for leg in found.values() for claim in judge_leg(leg)))
    except Exception as error:  # a checker that crashes has found nothing out
        why = f"the checker failed: {type(error).__name__}: {error}"
        return Verdict((Claim("-", "checker", Outcome.UNKNOWN, why),))


def judge_leg(leg: Leg) -> list[Claim]:
    """The claims about one remote."""
    missing = _missing(leg)
    if missing:
        return [Claim(leg.remote, "history is complete", Outcome.UNKNOWN, missing)]
    return [
        _no_request_failed(leg),
        _no_torn_prediction(leg),
        _no_step_back(leg),
        _nothing_lost(leg),
        _last_one_serves(leg),
        _same_server(leg),
        _reload_in_the_log(leg),
        _all_clients_agree(leg),
    ]


def _missing(leg: Leg) -> str:
    needed: list[tuple[str, Any]] = [
        ("no settings were recorded", leg.settings),
        ("no release was published", leg.published),
        ("no swap was seen", leg.swapped),
        ("no prediction was asked for", leg.predictions),
        ("the server's processes were not recorded at both ends", len(leg.servers) >= 2),
    ]
    for why, value in needed:
        if not value:
            return why
    clients = set(leg.settings["clients"])
    ended = {event["client"] for event in leg.ended_clients}
    if clients - ended:
        return f"the client(s) {', '.join(sorted(clients - ended))} did not come to an end"
    for event in leg.ended_clients:
        asked = sum(1 for p in leg.predictions if p["client"] == event["client"])
        if asked != event["asked"]:
            client = event["client"]
            return f"{client} asked {event['asked']} times, the history has {asked} answers"
    return ""


def _claim(leg: Leg, name: str, wrong: list[Event], what: str) -> Claim:
    if not wrong:
        return Claim(leg.remote, name, Outcome.VALID)
    first = {key: value for key, value in wrong[0].items() if key not in ("event", "t", "remote")}
    why = f"{len(wrong)} {what}, the first: {first}"
    return Claim(leg.remote, name, Outcome.INVALID, why, tuple(wrong[:20]))


def _no_request_failed(leg: Leg) -> Claim:
    failed = [
        p for p in leg.predictions if "error" in p and not leg.excused(p["sent"], p["answered"])
    ]
    return _claim(leg, "no request failed", failed, f"of {len(leg.predictions)} requests failed")


def _answers(leg: Leg) -> list[Event]:
    return [p for p in leg.predictions if "value" in p]


def _no_torn_prediction(leg: Leg) -> Claim:
    torn = [
        p
        for p in _answers(leg)
        if not any(
            leg.published[index]["t_begin"] <= p["answered"]
            for index in leg.releases_of(p["value"])
        )
    ]
    return _claim(leg, "no torn prediction", torn, "answers are no published release's")


def _no_step_back(leg: Leg) -> Claim:
    """Judged on the order of swaps: position in it, for the swaps made before the answer."""
    window = float(leg.settings["switch_window_s"])
    order = [
        (swap["t"], index)
        for swap in leg.swapped
        for index, release in enumerate(leg.published)
        if release["digest"] == swap["digest"]
    ]
    # highest[k]: (when it was first answered, position) of the newest position seen so far.
    firsts: dict[int, float] = {}
    wrong = []
    for p in _answers(leg):
        possible = leg.releases_of(p["value"])
        made = [k for k, (t, index) in enumerate(order) if index in possible and t <= p["answered"]]
        if not made:
            # Served before its swap was seen (the observer looks every 10 ms), or torn.
            continue
        position = made[-1]
        newer = [k for k, t in firsts.items() if k > position and t + window < p["sent"]]
        if newer:
            wrong.append({**p, "after_release": leg.published[order[max(newer)][1]]["release"]})
        firsts.setdefault(position, p["answered"])
    return _claim(leg, "no step back", wrong, "answers are older than what was seen before")


def _first_served(leg: Leg, index: int, client: Optional[str] = None) -> Optional[float]:
    for p in _answers(leg):
        if client in (None, p["client"]) and index in leg.releases_of(p["value"]):
            return float(p["answered"])
    return None


def _nothing_lost(leg: Leg) -> Claim:
    bound = float(leg.settings["bound_s"])
    end = max(float(p["answered"]) for p in leg.predictions)
    lost = []
    for index, release in enumerate(leg.published):
        if not release.get("good", True):
            continue
        deadline = release["t_end"] + bound
        deadline += sum(
            outage["until"] - outage["since"]
            for outage in leg.outages
            if outage["since"] < deadline and outage["until"] > release["t_end"]
        )
        served = _first_served(leg, index)
        newer = [t for later in range(index + 1, len(leg.published)) for t in leg.swaps(later)]
        reached = [t for t in (served, *newer) if t is not None and t <= deadline]
        # A release too young at the end of the run can be neither served nor lost yet.
        if not reached and deadline <= end:
            lost.append({**release, "first_served": served, "deadline": deadline})
        elif not reached and index == len(leg.published) - 1 and served is None:
            lost.append({**release, "first_served": None, "deadline": deadline})
    return _claim(leg, "nothing lost", lost, "releases were neither served nor superseded in time")


def _last_good(leg: Leg) -> int:
    good = [index for index, release in enumerate(leg.published) if release.get("good", True)]
    return good[-1]


def _last_one_serves(leg: Leg) -> Claim:
    last = _last_good(leg)
    wrong = []
    for client in leg.settings["clients"]:
        answers = [p for p in _answers(leg) if p["client"] == client]
        if not answers or last not in leg.releases_of(answers[-1]["value"]):
            wrong.append(answers[-1] if answers else {"client": client, "answers": 0})
    what = f"clients do not end on release {leg.published[last]['release']}"
    return _claim(leg, "last one serves", wrong, what)


def _same_server(leg: Leg) -> Claim:
    first, last = leg.servers[0], leg.servers[-1]
    wrong = [last] if last["identity"] != first["identity"] or not first["identity"] else []
    return _claim(leg, "same server", wrong, f"restart: it was {first['identity']} at first")


def _reload_in_the_log(leg: Leg) -> Claim:
    wrong = []
    started = leg.servers[0]["t"]
    for index, release in enumerate(leg.published):
        served = _first_served(leg, index)
        swaps = [t for t in leg.swaps(index) if t > started]
        if served is None or not swaps:
            continue
        # The line is written before the answers change; the observer sees it up to 10 ms later.
        margin = float(leg.settings["switch_window_s"])
        if not any(
            swaps[0] <= line["t"] + margin and line["t"] <= served + margin for line in leg.reloads
        ):
            wrong.append(release)
    return _claim(leg, "reload in the log", wrong, "releases were served without a line about it")


def _all_clients_agree(leg: Leg) -> Claim:
    wrong = []
    for index, release in enumerate(leg.published):
        seen = {c for c in leg.settings["clients"] if _first_served(leg, index, c) is not None}
        if seen and seen != set(leg.settings["clients"]) and leg.settings.get("paced", False):
            wrong.append({"release": release["release"], "seen_by": sorted(seen)})
    return _claim(leg, "all clients agree", wrong, "releases were seen by some clients only")
