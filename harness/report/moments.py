"""The moments of a release on its way to the clients, and the share of the wait of each phase.

=========  ======================================================================
published  the producer has put tarball and donefile on the remote
seen       the monitor knows that there is a new release
pulled     the tarball is on the monitor's machine
verified   the release is unpacked, and a server can load the release
staged     the release is complete beside the live directory
swapped    the release is the live directory
tick       the server notices the new time file and begins to load
loaded     the server has loaded the release
=========  ======================================================================

Only our monitor writes all of its moments (``--event_file``). For other monitors ``seen`` is the
line in the log that a pull begins. A moment that was not seen stays out, and the phases around
the moment become one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from harness.checker.leg_history import SEEN_LATE_S, LegHistory

MOMENTS = ("published", "seen", "pulled", "verified", "staged", "swapped", "tick", "loaded")
ANSWERED = "answered"
# What a phase waits for or does, if both of its moments are neighbours.
MEANINGS = {
    "published → seen": "wait for the monitor's next poll",
    "seen → pulled": "download",
    "pulled → verified": "unpack and verify",
    "verified → staged": "complete the staging folder",
    "staged → swapped": "swap",
    "swapped → tick": "wait for the server's next tick",
    "tick → loaded": "load in the server",
    "loaded → answered": "first answer to each client",
}
# Phases in which every part only waits for a timer.
WAITS = ("published → seen", "swapped → tick")


@dataclass(frozen=True)
class Phase:
    """The time between two moments of a release. ``seconds`` is not negative."""

    # The name of the first moment.
    begin: str
    # The name of the second moment.
    end: str
    seconds: float
    # The part of the time from publishing to the first answer to the last client.
    share: float

    @property
    def name(self) -> str:
        """Return the two moments."""
        return f"{self.begin} → {self.end}"


@dataclass(frozen=True)
class Moments:
    """When each moment of a release was seen, on the history's clock; a moment may be missing."""

    # The leg.
    remote: str
    # The release's number.
    release: int
    # How a bad release was damaged; "" for a good release.
    bad: str
    # Installed before the server started, so never hot-loaded.
    at_start: bool
    # The time of each moment, by its name.
    at: dict[str, float]
    # The first answer to each client.
    answered: dict[str, Optional[float]]

    @property
    def whole(self) -> bool:
        """Whether the release was hot-loaded and reached every client."""
        return not self.at_start and bool(self.answered) and None not in self.answered.values()

    @property
    def total(self) -> Optional[float]:
        """Return the seconds from publishing to the first answer to the last client."""
        times = [t for t in self.answered.values() if t is not None]
        return max(times) - self.at["published"] if self.whole else None

    def phase(self, name: str) -> Optional[Phase]:
        """Return the phase with this name; None if the release has no such phase."""
        return next((phase for phase in self.phases if phase.name == name), None)

    @property
    def phases(self) -> list[Phase]:
        """Return the phases in order. A release that did not reach all clients has no shares."""
        known = [(moment, self.at[moment]) for moment in MOMENTS if moment in self.at]
        total = self.total
        if total is not None:
            known.append((ANSWERED, self.at["published"] + total))
        found = []
        before = known[0][1]
        for (begin, _), (end, t) in zip(known, known[1:]):
            # Different parts see the moments, so a moment may seem a little earlier.
            after = max(before, t)
            share = (after - before) / total if total else 0.0
            found.append(Phase(begin, end, after - before, share))
            before = after
        return found


def moments(leg: LegHistory, index: int) -> Moments:
    """Return the moments of the release with this index in ``leg.published``."""
    release = leg.published[index]
    begin = float(release["t_begin"])
    at = {"published": float(release["t_end"])}
    swap = next((t for t in leg.swaps(index) if t >= begin), None)
    at.update(_of_monitor(leg, index, swap))
    if swap is not None:
        at.setdefault("swapped", swap)
        at.update(_of_server(leg, index, swap))
    started = float(leg.servers[0]["t"]) if leg.servers else float("inf")
    return Moments(
        remote=leg.remote,
        release=int(release["release"]),
        bad=str(release.get("bad", "")) if not release.get("good", True) else "",
        at_start=swap is not None and swap < started,
        at=at,
        answered={
            client: leg.first_served(index, client) for client in leg.settings.get("clients", [])
        },
    )


def pull_of(leg: LegHistory, index: int, swap: float) -> Optional[float]:
    """Return when the log says that the pull which led to the swap began."""
    begin = float(leg.published[index]["t_begin"])
    # The last pull before the swap; the observer sees both a little late.
    pulls = [float(event["t"]) for event in leg.pulls]
    return next((t for t in reversed(pulls) if begin <= t <= swap + SEEN_LATE_S), None)


def _of_monitor(leg: LegHistory, index: int, swap: Optional[float]) -> dict[str, float]:
    """Return the moments in the monitor's events, or when the log says that the pull began."""
    release = leg.published[index]
    mine = [
        event
        for event in leg.monitor_events
        if event["t"] >= release["t_begin"]
        and (event.get("release"), event.get("sha256"))
        == (release["release"], release.get("sha256"))
    ]
    found: dict[str, float] = {}
    for event in mine:
        what = event["what"]
        # If a pull was repeated, its last try led to the swap.
        if what in MOMENTS and "swapped" not in found and not (what == "seen" and what in found):
            found[what] = float(event["t"])
    if "seen" not in found and swap is not None:
        pull = pull_of(leg, index, swap)
        if pull is not None:
            found["seen"] = pull
    return found


def _of_server(leg: LegHistory, index: int, swap: float) -> dict[str, float]:
    """Return when the server noticed the swap, and when it had loaded the release."""
    later = [t for after in range(index + 1, len(leg.published)) for t in leg.swaps(after)]
    until = min(later, default=float("inf"))
    ticks = [float(event["t"]) for event in leg.reloads]
    tick = next((t for t in ticks if swap - SEEN_LATE_S <= t < until), None)
    if tick is None:
        return {}
    following = next((t for t in ticks if t > tick), float("inf"))
    finished = (float(event["t"]) for event in leg.finished_reloads)
    loaded = next((t for t in finished if tick <= t < following), None)
    return {"tick": tick} if loaded is None else {"tick": tick, "loaded": loaded}
