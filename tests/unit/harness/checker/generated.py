"""Valid histories of every kind, for Hypothesis: several clients, bursts, rollbacks, outages.

The generator plays a leg: publish, swap, tick, reload, answer. What Hypothesis draws is small
(the releases and the clients), so that a failing history shrinks; a seed decides the rest.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Optional

from hypothesis import strategies as st

from harness.checker.claims import CLAIMS
from harness.checker.history import Event

# The claims about single records; the statistical ones need more answers than such a run has.
CLAIMS_JUDGED = [name for name, rule in CLAIMS.items() if not rule.statistical]
BOUND_S, WINDOW_S, LATENCY_BOUND_S, RTOL = 12.0, 0.5, 1.0, 1e-5
_TICK_S, _LOAD_S = 1.0, 0.2


@dataclass(frozen=True)
class Release:
    """How a release comes: its distance to the one before, and what happens to it."""

    burst: bool
    good: bool
    # The monitor pulls it although a newer one follows at once.
    pulled: bool
    # After it is served, the monitor goes back to the release before.
    rolled_back: bool
    # While it is on its way, the server neither answers nor ticks.
    outage: bool


class Run:
    """A run of one leg; its lists may be changed before ``events`` is asked for."""

    def __init__(self, settings: Event, schema: int, shuffled: int) -> None:
        self.settings = settings
        self.schema = schema
        self._shuffled = shuffled
        self.published: list[Event] = []
        self.swapped: list[Event] = []
        self.reloads: list[Event] = []
        self.outages: list[Event] = []
        self.servers: list[Event] = []
        self.predictions: list[Event] = []
        # Whatever else happened.
        self.others: list[Event] = []
        # Releases in the order in which they began to serve, each with the time.
        self.served: list[tuple[float, int]] = []

    def __repr__(self) -> str:
        releases = [(r["t_begin"], r.get("good", True)) for r in self.published]
        swaps = [(swap["t"], swap["digest"]) for swap in self.swapped]
        outages = [(outage["since"], outage["until"]) for outage in self.outages]
        return f"Run({releases=}, {swaps=}, served={self.served}, {outages=})"

    @property
    def clients(self) -> list[str]:
        return list(self.settings["clients"])

    @property
    def end(self) -> float:
        return max(float(p["answered"]) for p in self.predictions)

    def of(self, client: str) -> list[Event]:
        """Return the client's requests in the order of time."""
        return sorted(
            (p for p in self.predictions if p["client"] == client), key=lambda p: p["answered"]
        )

    def value(self, release: int) -> list[float]:
        return list(self.published[release]["expected"])

    def digest(self, release: int) -> str:
        return str(self.published[release]["digest"])

    def release_of(self, p: Event) -> Optional[int]:
        """Return the release that a request was answered from."""
        for index in range(len(self.published)):
            if "value" in p and abs(p["value"][0] - self.value(index)[0]) < 0.01:
                return index
        return None

    def at(self, t: float, event: str, **fields: object) -> Event:
        return {"event": event, "t": t, "remote": "ftp", **fields}

    def events(self) -> list[Event]:
        """Return the history, its lines in some order."""
        end = self.end + 1
        ended = [
            self.at(end, "client_ended", client=client, asked=len(self.of(client)))
            for client in self.clients
        ]
        found = [
            {"event": "run", "t": 0.0, "schema": self.schema, "remotes": ["ftp"]},
            *(self.settings, *self.published, *self.swapped, *self.reloads, *self.outages),
            *(*self.servers, *self.predictions, *self.others, *ended),
            self.at(end, "leg_ended", seconds=end),
            {"event": "end", "t": end},
        ]
        random.Random(self._shuffled).shuffle(found)
        return found


_releases = st.builds(
    Release,
    burst=st.booleans(),
    good=st.integers(0, 4).map(bool),
    pulled=st.booleans(),
    rolled_back=st.integers(0, 3).map(lambda number: number == 3),
    outage=st.integers(0, 4).map(lambda number: number == 4),
)


def runs(min_releases: int = 1, bursts: bool = True) -> st.SearchStrategy[Run]:
    """Return a strategy that makes valid runs.

    Args:
        min_releases: So many good releases at least.
        bursts: Whether a release may come before the one before is served, or be bad. A run
            without is paced.
    """
    return st.builds(
        _played,
        st.lists(_releases, min_size=min_releases, max_size=5),
        st.integers(1, 3),
        st.integers(0, 2**16),
        st.sampled_from([1, 2]),
        st.just(bursts),
    )


def _played(plan: list[Release], clients: int, seed: int, schema: int, bursts: bool) -> Run:
    chance = random.Random(seed)
    settings: dict[str, Any] = {
        **{"event": "settings", "t": 0.0, "remote": "ftp", "claims": CLAIMS_JUDGED},
        **{"clients": [f"client-{n}" for n in range(clients)], "releases": len(plan)},
        **{"paced": not bursts, "latency_bound_s": LATENCY_BOUND_S, "bound_s": BOUND_S},
        **{"switch_window_s": WINDOW_S, "rtol": RTOL, "tick_s": _TICK_S, "load_bound_s": 0.5},
    }
    run = Run(settings, schema, shuffled=seed)
    _publish(run, plan, bursts, chance)
    _serve(run, chance)
    for client in run.clients:
        _ask(run, client, chance)
    # The server is ready before the second release is published.
    ready = run.swapped[0]["t"]
    run.servers = [run.at(t, "server", identity="7@1") for t in (ready, ready + 2, run.end)]
    return run


def _publish(run: Run, plan: list[Release], bursts: bool, chance: random.Random) -> None:
    """Publish and swap each release, the first one before the server starts."""
    t = 1.0
    for index, release in enumerate(plan):
        begin, t = t, t + chance.uniform(0.05, 0.2)
        good = release.good or not index or not bursts
        published = run.at(t, "published", release=index + 1, digest=f"model-{index}")
        run.published.append(
            {
                **{**published, "expected": [14.0 + index, 7.0 - index / 3]},
                **{"t_begin": begin, "t_end": t},
                **({} if good else {"good": False}),
            }
        )
        follows_at_once = bursts and index + 1 < len(plan) and plan[index + 1].burst
        # A newer release that is bad takes no other's place.
        superseded = follows_at_once and not release.pulled and index and plan[index + 1].good
        if good and not superseded:
            t += chance.uniform(0.1, 0.3)
            run.swapped.append(run.at(t, "swapped", digest=f"model-{index}", second=int(t)))
        if follows_at_once:
            continue
        if release.outage and index:
            until = t + chance.uniform(0.5, 3.0)
            run.outages.append(run.at(t, "outage", since=t, until=until, why="a pause"))
            t = until
        t += 3.0
        if release.rolled_back and good and len(run.swapped) > 1:
            _roll_back(run, t)
            t += 3.0


def _roll_back(run: Run, t: float) -> None:
    """Swap in again what was live before."""
    digest = run.swapped[-2]["digest"]
    (back,) = (r["release"] for r in run.published if r["digest"] == digest)
    run.others.append(run.at(t, "rollback", release=back))
    run.swapped.append(run.at(t, "swapped", digest=digest, second=int(t)))


def _serve(run: Run, chance: random.Random) -> None:
    """Reload at each tick at which another release is live, but not in an outage."""
    swaps = [swap["t"] for swap in run.swapped]
    index = {release["digest"]: i for i, release in enumerate(run.published)}
    tick = swaps[0] + chance.uniform(0.05, _TICK_S)
    loaded = 0
    run.served.append((tick, 0))
    while loaded < len(swaps) - 1:
        tick += _TICK_S
        live = bisect_right(swaps, tick) - 1
        paused = any(o["since"] <= tick <= o["until"] for o in run.outages)
        if live > loaded and not paused:
            if run.swapped[live]["digest"] != run.swapped[loaded]["digest"]:
                line = "W1 begin reload model[uci_housing_model]."
                run.reloads.append(run.at(tick + 0.02, "server_log", line=line))
                begin = tick + chance.uniform(0.05, _LOAD_S)
                run.served.append((begin, index[run.swapped[live]["digest"]]))
            loaded = live


def _ask(run: Run, client: str, chance: random.Random) -> None:
    """Ask until the last release has served for a while; threads swap one after another."""
    seen = [(t + chance.uniform(0, WINDOW_S / 2), release) for t, release in run.served]
    pause = chance.uniform(0.05, 0.3)
    t = run.served[0][0] + chance.uniform(WINDOW_S, 1.0)
    end = run.served[-1][0] + 3.0
    while t < end:
        took = chance.uniform(0.001, 0.02)
        p = run.at(t + took, "prediction", client=client, n=len(run.of(client)) + 1)
        p.update(sent=t, answered=t + took)
        if run.schema > 1 and pause > 0.1:
            p["planned"] = t
        if any(p["sent"] < o["until"] and p["answered"] > o["since"] for o in run.outages):
            p["error"] = "refused"
        else:
            release = seen[bisect_right(seen, (p["answered"], len(seen))) - 1][1]
            # Within float32 rounding.
            p["value"] = [x * (1 + chance.choice([0, 0, 3e-7])) for x in run.value(release)]
        run.predictions.append(p)
        t += took + pause
