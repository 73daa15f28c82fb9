"""Valid histories of every kind, for Hypothesis.

They have several clients, bursts, bad releases, releases that are published again, rollbacks,
outages, restarts of the server, and clients on other machines.

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

    # It follows the release before at once.
    burst: bool
    # A server can load it.
    good: bool
    # The monitor pulls it although a newer one follows at once.
    pulled: bool
    # After it is served, the monitor goes back to the release before, perhaps for a moment only.
    rolled_back: bool
    # While it is on its way, the server neither answers nor ticks.
    outage: bool
    # In that time the server is started again.
    restart: bool
    # It is the release before the last one, published again.
    again: bool
    # It goes out again before the server's next tick: the release before comes back.
    withdrawn: bool


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
        # When the server that is started again reads the live directory, and is ready.
        self.restarts: list[tuple[float, float]] = []

    def __repr__(self) -> str:
        releases = [(r["t_begin"], r.get("good", True)) for r in self.published]
        swaps = [(swap["t"], swap["digest"]) for swap in self.swapped]
        outages = [(outage["since"], outage["until"]) for outage in self.outages]
        return (
            f"Run({releases=}, {swaps=}, served={self.served}, {outages=}, "
            f"restarts={self.restarts})"
        )

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
    restart=st.booleans(),
    again=st.integers(0, 4).map(lambda number: number == 4),
    withdrawn=st.integers(0, 4).map(lambda number: number == 4),
)


def runs(min_releases: int = 1, bursts: bool = True) -> st.SearchStrategy[Run]:
    """Return a strategy that makes valid runs.

    Args:
        min_releases: So many good releases at least.
        bursts: Whether a release may come before the one before is served, be bad, be published
            again or withdrawn. The server may then be restarted, and clients may be on other
            machines. A run without is paced.
    """
    return st.builds(
        _played,
        st.lists(_releases, min_size=min_releases, max_size=5),
        clients=st.integers(1, 3),
        seed=st.integers(0, 2**16),
        schema=st.sampled_from([1, 2]),
        clock_error_s=st.sampled_from([0.0, 0.0, 0.05, 0.2]) if bursts else st.just(0.0),
        bursts=st.just(bursts),
    )


def _played(
    plan: list[Release], *, clients: int, seed: int, schema: int, clock_error_s: float, bursts: bool
) -> Run:
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
    if clock_error_s:
        _shift(run, clock_error_s, chance)
    _record_server(run)
    return run


def _shift(run: Run, error_s: float, chance: random.Random) -> None:
    """Let each client's clock be wrong by up to the error."""
    run.others.append({"event": "merged", "t": 0.0, "worker": "w", "error_s": error_s})
    for client in run.clients:
        offset = chance.uniform(-error_s, error_s)
        for p in run.of(client):
            p.update({key: p[key] + offset for key in ("t", "sent", "answered")})


def _record_server(run: Run) -> None:
    """Record the server's process when it is first ready, after each restart and at the end."""
    identity = "7@1"
    # The server is ready before the second release is published.
    run.servers = [run.at(run.swapped[0]["t"], "server", identity=identity)]
    for number, (_, until) in enumerate(run.restarts):
        identity = f"{8 + number}@2"
        run.servers.append(run.at(until - 0.01, "server", identity=identity, restarted=True))
    if not run.restarts:
        run.servers.append(run.at(run.swapped[0]["t"] + 2, "server", identity=identity))
    run.servers.append(run.at(run.end, "server", identity=identity))


def _publish(run: Run, plan: list[Release], bursts: bool, chance: random.Random) -> None:
    """Publish and swap each release, the first one before the server starts."""
    t = 1.0
    models: list[int] = []
    for index, release in enumerate(plan):
        begin, t = t, t + chance.uniform(0.05, 0.2)
        good = release.good or not index or not bursts
        again = bursts and release.again and index > 1 and run.published[-2].get("good", True)
        models.append(models[-2] if again and good else index)
        model = models[-1]
        published = run.at(t, "published", release=index + 1, digest=f"model-{model}")
        run.published.append(
            {
                **{**published, "expected": [14.0 + model, 7.0 - model / 3]},
                **{"t_begin": begin, "t_end": t},
                **({} if good else {"good": False}),
            }
        )
        follows_at_once = bursts and index + 1 < len(plan) and plan[index + 1].burst
        # A newer release that is bad takes no other's place.
        superseded = follows_at_once and not release.pulled and index and plan[index + 1].good
        if good and not superseded:
            t += chance.uniform(0.1, 0.3)
            run.swapped.append(run.at(t, "swapped", digest=f"model-{model}", second=int(t)))
        if follows_at_once:
            continue
        if bursts and release.withdrawn and good and len(run.swapped) > 1:
            t += chance.uniform(0.1, 0.3)
            _roll_back(run, t)
        if release.outage and index:
            since, until = t - chance.uniform(0.0, 0.3), t + chance.uniform(0.5, 3.0)
            run.outages.append(run.at(t, "outage", since=since, until=until, why="a pause"))
            if bursts and release.restart:
                run.restarts.append((chance.uniform(since, until - 0.05), until))
            t = until
        t += 3.0
        if release.rolled_back and good and len(run.swapped) > 1:
            _roll_back(run, t)
            # A newer release may come before the server's next tick.
            t += chance.choice([0.2, 3.0]) if bursts else 3.0


def _roll_back(run: Run, t: float) -> None:
    """Swap in again what was live before."""
    digest = run.swapped[-2]["digest"]
    back = next(r["release"] for r in run.published if r["digest"] == digest)
    run.others.append(run.at(t, "rollback", release=back))
    run.swapped.append(run.at(t, "swapped", digest=digest, second=int(t)))


def _serve(run: Run, chance: random.Random) -> None:
    """Reload at each tick at which the time file has changed, but not in an outage."""
    swaps = [swap["t"] for swap in run.swapped]
    index = {release["digest"]: i for i, release in enumerate(run.published)}
    tick = swaps[0] + chance.uniform(0.05, _TICK_S)
    loaded = 0
    run.served.append((tick, 0))
    restarts = list(run.restarts)
    while loaded < len(swaps) - 1 or restarts:
        tick += _TICK_S
        if restarts and tick > restarts[0][0]:
            # A start reads the live directory and writes nothing about a reload.
            read, tick = restarts.pop(0)
            loaded = bisect_right(swaps, read) - 1
            run.served.append((tick, index[run.swapped[loaded]["digest"]]))
            continue
        live = bisect_right(swaps, tick) - 1
        paused = any(o["since"] <= tick <= o["until"] for o in run.outages)
        if live > loaded and not paused:
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
