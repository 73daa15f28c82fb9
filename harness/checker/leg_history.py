"""The part of a history that belongs to one remote, sorted by kind.

It answers the questions of the claims and the report. It judges no claim.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Optional

from harness.support.errors import BadInput

from .history import READABLE_SCHEMAS, SCHEMA, Event

# The observer sees a change of a file or a log line up to this much late (harness.run.observe).
SEEN_LATE_S = 0.05
_RELOAD_ERROR = re.compile(
    r"^E.*(Failed (reload|stat config|create model|load)|create paddle predictor failed)"
)


def same(value: list[float], expected: list[float], rtol: float) -> bool:
    """Whether two predictions are equal within float32 rounding (``rtol``, relative)."""
    return len(value) == len(expected) > 0 and all(
        math.isclose(a, b, rel_tol=rtol, abs_tol=rtol * 1e-2) for a, b in zip(value, expected)
    )


@dataclass
class LegHistory:
    """Events of one remote. Lists are in the order of time, predictions in that of answers."""

    remote: str
    published: list[Event] = field(default_factory=list)
    swapped: list[Event] = field(default_factory=list)
    predictions: list[Event] = field(default_factory=list)
    reloads: list[Event] = field(default_factory=list)
    reload_errors: list[Event] = field(default_factory=list)
    pulls: list[Event] = field(default_factory=list)
    servers: list[Event] = field(default_factory=list)
    ended_clients: list[Event] = field(default_factory=list)
    outages: list[Event] = field(default_factory=list)
    publishing: list[Event] = field(default_factory=list)
    install_failed: list[Event] = field(default_factory=list)
    settings: Event = field(default_factory=dict)
    # Of the whole run; the newest where no run is recorded.
    schema: int = SCHEMA
    ended: bool = False
    # Why the leg was cut short, "" when it was not.
    cut_short: str = ""
    # From this time on the observer did not watch the live directory and the logs.
    blind_since: float = math.inf
    # A run has many answers and few different ones.
    _known: dict[tuple[float, ...], set[int]] = field(default_factory=dict)

    @property
    def answers(self) -> list[Event]:
        """The predictions that were answered."""
        return [p for p in self.predictions if "value" in p]

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

    def before(self, t: float) -> LegHistory:
        """Return the leg with only the records before the time ``t``."""
        seen = replace(self, predictions=[p for p in self.predictions if p["answered"] < t])
        for name in ("swapped", "reloads", "reload_errors", "pulls"):
            setattr(seen, name, [event for event in getattr(self, name) if event["t"] < t])
        return seen

    def asked_by(self, client: str) -> list[Event]:
        """Return the client's requests, answered or failed, in the order of their ends."""
        return [p for p in self.predictions if p["client"] == client]

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
                if same(value, release["expected"], rtol)
            }
        return self._known[key]

    def swaps(self, index: int) -> list[float]:
        """The times at which the release became the live directory (rollbacks included)."""
        digest = self.published[index]["digest"]
        return [swap["t"] for swap in self.swapped if swap["digest"] == digest]

    def first_served(self, index: int, client: Optional[str] = None) -> Optional[float]:
        """When anybody (or one client) was first answered with the release's prediction."""
        begin = self.published[index]["t_begin"]
        for p in self.answers:
            mine = client in (None, p["client"]) and p["answered"] >= begin
            if mine and index in self.releases_of(p["value"]):
                return float(p["answered"])
        return None

    def live_at(self, t: float) -> Optional[int]:
        """The release in the live directory at a time, None when it is no published one."""
        before = [swap for swap in self.swapped if swap["t"] <= t]
        if not before:
            return None
        for index, release in enumerate(self.published):
            if release["digest"] == before[-1]["digest"]:
                return index
        return None


def sort(events: Iterable[Event]) -> dict[str, LegHistory]:
    """Sorts a history by remote and kind. Raises ``BadInput`` for another schema."""
    found: dict[str, LegHistory] = {}
    kinds = {
        "published": "published",
        "swapped": "swapped",
        "prediction": "predictions",
        "server": "servers",
        "client_ended": "ended_clients",
        "outage": "outages",
        "publishing": "publishing",
        "install_failed": "install_failed",
    }
    damaged = False
    schema = SCHEMA
    for event in events:
        kind = event["event"]
        damaged = damaged or kind == "damaged"
        if kind == "run" and event["schema"] not in READABLE_SCHEMAS:
            known = " and ".join(map(str, READABLE_SCHEMAS))
            raise BadInput(f"the history has schema {event['schema']}; this checker reads {known}")
        if kind == "run":
            schema = event["schema"]
        if "remote" not in event:
            continue
        leg = found.setdefault(event["remote"], LegHistory(event["remote"]))
        if kind in kinds:
            getattr(leg, kinds[kind]).append(event)
        elif kind == "settings":
            leg.settings = event
        elif kind == "leg_ended":
            leg.ended = True
        elif kind == "cut_short":
            leg.cut_short = event["why"]
        elif kind == "observer_ended":
            leg.blind_since = min(leg.blind_since, float(event["t"]))
        elif kind == "server_log" and "begin reload model[" in event["line"]:
            leg.reloads.append(event)
        elif kind == "server_log" and _RELOAD_ERROR.match(event["line"]):
            leg.reload_errors.append(event)
        elif kind == "monitor_log" and "pull remote model(" in event["line"]:
            leg.pulls.append(event)
    for leg in found.values():
        leg.schema = schema
        if damaged:
            # The line may have been any record: no claim may rest on one that is not there.
            leg.blind_since = -math.inf
        leg.predictions.sort(key=lambda event: float(event["answered"]))
        # Several processes write the history: the order of its lines means nothing.
        for name in (*kinds.values(), "reloads", "reload_errors", "pulls"):
            if name != "predictions":
                getattr(leg, name).sort(key=lambda event: float(event["t"]))
    return found
