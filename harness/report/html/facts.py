"""What a report says, as values: a pure function of a history and its verdict.

All times are seconds from the begin of the run. No value is estimated: what the history does not
have, the report does not show. Secrets are masked here, before any text reaches a page.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Optional

import numpy
from numpy.typing import NDArray

from harness.checker.history import Event
from harness.checker.leg_history import LegHistory
from harness.checker.outcome import Outcome
from harness.checker.predictions import Floats
from harness.checker.run_history import RunHistory, leg_name, sort
from harness.checker.verdict import Verdict
from harness.report import latency
from harness.report.masking import masked
from harness.report.moments import MEANINGS, WAITS, Moments, moments
from harness.report.summary import Row, rows, verdict_line

from .claims import Judged, judged
from .excerpts import Excerpt, Journal
from .lanes import Lane, Shade, clients_of, lanes, shades

# The most reloads with log lines in the report. If there are more, the first and the last ones.
MAX_RELOADS = 24
# The most releases that are columns of the table of phases.
MAX_COLUMNS = 12
_BEFORE_S, _AFTER_S = 1.5, 0.5


@dataclass(frozen=True)
class Answers:
    """The requests of one client: when each was planned or sent, and its latency in seconds."""

    client: str
    # When each request was planned or sent, in seconds from the begin of the run.
    t: Floats
    latency: Floats
    # Whether each request failed.
    failed: NDArray[numpy.bool_]


@dataclass(frozen=True)
class PhaseMean:
    """A phase over all releases that reached every client: its mean, and its share of the wait."""

    # The phase's name.
    name: str
    # What happens in it.
    meaning: str
    # Whether the part only waits in it.
    is_wait: bool
    # The mean.
    seconds: float
    # Its share of the wait.
    share: float
    # Of how many releases.
    releases: int


@dataclass(frozen=True)
class LegFacts:
    """One remote's part of the run."""

    # The name of the leg.
    remote: str
    # The time of the first event. All times count from the begin of the run.
    begin: float
    # The time of the last event.
    end: float
    # When the server was ready; None if it never was.
    served_since: Optional[float]
    # Why the leg was cut short; empty if it was not.
    cut_short: str
    # Names and values of its settings.
    settings: tuple[tuple[str, str], ...]
    # The table of releases.
    rows: tuple[Row, ...]
    # The timeline.
    lanes: tuple[Lane, ...]
    # The times of faults.
    shades: tuple[Shade, ...]
    # The requests, by client.
    answers: tuple[Answers, ...]
    # When the server began to load a release, and which one.
    reloads: tuple[tuple[float, Optional[int]], ...]
    # The samples of latency.
    latencies: tuple[latency.Measured, ...]
    # When each moment of a release was seen.
    moments: tuple[Moments, ...]
    # The claims about the leg.
    claims: tuple[Judged, ...]
    # The logs around each reload.
    logs: tuple[Excerpt, ...]
    # Whether the monitor wrote its moments itself.
    own_events: bool
    # How many requests there were.
    requests: int
    # How many of these requests failed.
    failed: int

    @property
    def shown_since(self) -> float:
        """Return the time from which a chart shows the leg: before, the run only prepares."""
        return self.begin if self.served_since is None else self.served_since - 1

    @property
    def shown_moments(self) -> list[Moments]:
        """Return the last hot-loaded releases, as many as fit a table."""
        return [one for one in self.moments if not one.at_start][-MAX_COLUMNS:]

    def claim(self, name: str) -> Optional[Judged]:
        """Return the leg's claim with this name, if the leg has the claim."""
        return next((claim for claim in self.claims if claim.name == name), None)

    @property
    def phases(self) -> list[PhaseMean]:
        """Return each phase of the releases that reached every client."""
        found: dict[str, list[float]] = {}
        for one in self.moments:
            for phase in one.phases if one.whole else ():
                found.setdefault(phase.name, []).append(phase.seconds)
        total = sum(one.total or 0.0 for one in self.moments)
        return [
            PhaseMean(
                name,
                MEANINGS.get(name, "not seen apart"),
                name in WAITS,
                mean(values),
                sum(values) / total if total else 0.0,
                len(values),
            )
            for name, values in found.items()
        ]

    @property
    def wait(self) -> Optional[float]:
        """Return the mean time from publishing to the first answer to the last client."""
        totals = [one.total for one in self.moments if one.total is not None]
        return mean(totals) if totals else None


@dataclass(frozen=True)
class Report:
    """A whole run for a reader."""

    # The heading.
    title: str
    # The verdict.
    outcome: Outcome
    # The verdict in one sentence, without its first word.
    sentence: str
    # More sentences about the verdict.
    details: str
    # What was run: names and values.
    facts: tuple[tuple[str, str], ...]
    # The machine: names and values.
    machine: tuple[tuple[str, str], ...]
    # The versions of the parts.
    versions: tuple[tuple[str, str], ...]
    # The command that repeats the run.
    command: str
    # Whether the command is put together from the history, which has no command.
    command_is_made: bool
    # The legs, in order.
    legs: tuple[LegFacts, ...]
    # Claims about the whole run.
    claims: tuple[Judged, ...]
    # The schema of the history.
    schema: Optional[int] = None
    # The names of the clients.
    clients: tuple[str, ...] = field(default=())

    @property
    def every_claim(self) -> list[Judged]:
        """Return the claims of the run and of its legs."""
        return [*self.claims, *(claim for leg in self.legs for claim in leg.claims)]

    @property
    def claim_names(self) -> list[str]:
        """Return the names of the legs' claims, in the order of the verdict."""
        return list(dict.fromkeys(claim.name for leg in self.legs for claim in leg.claims))

    @property
    def broken(self) -> list[Judged]:
        """Return the claims that do not hold."""
        return [claim for claim in self.every_claim if claim.outcome is Outcome.INVALID]

    @property
    def unknown(self) -> list[Judged]:
        """Return the required claims that cannot be judged."""
        return [
            claim
            for claim in self.every_claim
            if claim.outcome is Outcome.UNKNOWN and claim.required
        ]

    @property
    def left_out(self) -> list[Judged]:
        """Return the claims that cannot be judged and are not required."""
        return [
            claim
            for claim in self.every_claim
            if claim.outcome is Outcome.UNKNOWN and not claim.required
        ]

    @property
    def rows(self) -> list[Row]:
        """Return a row for each release of each remote."""
        return [row for leg in self.legs for row in leg.rows]

    @property
    def requests(self) -> int:
        """Return how many requests the clients sent."""
        return sum(leg.requests for leg in self.legs)

    @property
    def failed(self) -> int:
        """Return how many requests had an error, excused or not."""
        return sum(leg.failed for leg in self.legs)


def facts(events: Iterable[Event], verdict: Verdict) -> Report:
    """Return what a report says of a run.

    Raises:
        BadInput: The history has an unknown schema, or times of another machine's clock.
    """
    noted: dict[str, list[Event]] = {}
    run = sort(_noting(events, noted))
    # A server's leg also has the events that all servers of its remote share.
    others = {
        leg: [event for name in noted if f"{leg}/".startswith(f"{name}/") for event in noted[name]]
        for leg in run.legs
    }
    begin = run.begin if math.isfinite(run.begin) else 0.0
    head = masked(run.runs[0]) if run.runs else {}
    table = rows(run)
    measured = latency.measured(run)
    journals = {name: Journal(leg, others[name], begin) for name, leg in run.legs.items()}
    claims = [
        judged(claim, number, run.legs.get(claim.remote), journals.get(claim.remote), begin)
        for number, claim in enumerate(verdict.claims, 1)
    ]
    legs = tuple(
        _leg(
            leg,
            others[name],
            journals[name],
            begin=begin,
            rows=[row for row in table if row.remote == name],
            latencies=[one for one in measured if one.remote == name],
            claims=[claim for claim in claims if claim.remote == name],
        )
        for name, leg in run.legs.items()
    )
    command, made = _command(head, run)
    return Report(
        title=f"Hot loading: {head.get('scenario', 'a run')}",
        outcome=verdict.outcome,
        sentence=_sentence(verdict, legs),
        details=str(masked(verdict_line(verdict))),
        facts=tuple(_what_was_run(head, run, legs)),
        machine=tuple(_texts(head.get("machine"))),
        versions=tuple(_texts(head.get("versions"))),
        command=command,
        command_is_made=made,
        legs=legs,
        claims=tuple(claim for claim in claims if claim.remote not in run.legs),
        schema=head.get("schema"),
        clients=tuple(dict.fromkeys(c for row in table for c in row.first_served)),
    )


def _noting(events: Iterable[Event], noted: dict[str, list[Event]]) -> Iterator[Event]:
    """Pass the events on, and note the masked events of each leg that are no requests."""
    for event in events:
        if event["event"] != "prediction" and "remote" in event and "t" in event:
            texts = {name: masked(one) for name, one in event.items() if isinstance(one, str)}
            noted.setdefault(leg_name(event), []).append({**event, **texts})
        yield event


def _leg(
    leg: LegHistory,
    events: Sequence[Event],
    journal: Journal,
    *,
    begin: float,
    rows: Sequence[Row],
    latencies: Sequence[latency.Measured],
    claims: Sequence[Judged],
) -> LegFacts:
    times = [float(event["t"]) for event in events]
    first, last = min(times, default=begin), max(times, default=begin)
    if len(leg.predictions):
        last = max(last, float(leg.predictions.answered[-1]))
    found = [moments(leg, index) for index in range(len(leg.published))]
    ticks = {one.at["tick"]: one.release for one in found if "tick" in one.at}
    reloads = [(float(event["t"]), ticks.get(float(event["t"]))) for event in leg.reloads]
    faults = [event for event in events if event["event"] == "fault"]
    asked = leg.predictions
    clients = clients_of(leg)
    return LegFacts(
        remote=leg.remote,
        begin=first - begin,
        end=last - begin,
        served_since=float(leg.servers[0]["t"]) - begin if leg.servers else None,
        cut_short=str(masked(leg.cut_short)),
        settings=tuple(_settings(leg)),
        rows=tuple(rows),
        lanes=tuple(lanes(leg, found, begin, last)),
        shades=tuple(shades(leg, faults, begin, last)),
        answers=tuple(_answers(leg, client, begin) for client in clients),
        reloads=tuple((t - begin, release) for t, release in reloads),
        latencies=tuple(sorted(latencies, key=lambda one: clients.index(one.client))),
        moments=tuple(found),
        claims=tuple(claims),
        logs=tuple(_logs(reloads, journal, begin)),
        own_events=bool(leg.monitor_events),
        requests=len(asked),
        failed=int((asked.error >= 0).sum()),
    )


def _answers(leg: LegHistory, client: str, begin: float) -> Answers:
    asked = leg.predictions
    mine = asked.by_client[asked.number_of[client]]
    since = numpy.where(numpy.isnan(asked.planned[mine]), asked.sent[mine], asked.planned[mine])
    return Answers(
        client,
        since - begin,
        asked.answered[mine] - since,
        asked.error[mine] >= 0,
    )


def _logs(
    reloads: Sequence[tuple[float, Optional[int]]], journal: Journal, begin: float
) -> Iterator[Excerpt]:
    chosen = reloads
    if len(reloads) > MAX_RELOADS:
        chosen = [*reloads[: MAX_RELOADS // 2], *reloads[-MAX_RELOADS // 2 :]]
    for t, release in chosen:
        what = "the same release again" if release is None else f"release {release}"
        title = f"reload at {t - begin:.3f} s: {what}"
        yield journal.around(t - begin, title, _BEFORE_S, _AFTER_S)


def _sentence(verdict: Verdict, legs: Sequence[LegFacts]) -> str:
    total = len(verdict.claims) - len(verdict.left_out)
    if verdict.outcome is Outcome.INVALID:
        names = list(dict.fromkeys(claim.name for claim in verdict.broken))
        return f"{len(verdict.broken)} of {total} claims do not hold: {_list(names)}."
    if verdict.outcome is Outcome.UNKNOWN:
        reasons = list(dict.fromkeys(claim.why for claim in verdict.unknown))
        return (
            f"No claim is broken, but {len(verdict.unknown)} of {total} cannot be judged: "
            f"{masked('; '.join(reasons[:2])) or 'nothing was judged'}."
        )
    requests, failed = sum(leg.requests for leg in legs), sum(leg.failed for leg in legs)
    loaded = sum(1 for leg in legs for one in leg.moments if one.whole)
    if failed == 0:
        how = "and none failed"
    else:
        how = f"and {failed:,} failed, all of them in outages that the scenario caused"
    return (
        f"All {total} claims hold: clients sent {requests:,} requests while the server loaded "
        f"{loaded} new release{'' if loaded == 1 else 's'}, {how}."
    )


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _command(head: Event, run: RunHistory) -> tuple[str, bool]:
    """Return the command of the run; one put together if the history has none."""
    if head.get("command"):
        return shlex.join(map(str, head["command"])), False
    words = [".venv/bin/python", "-m", "harness", "run", str(head.get("scenario", "page"))]
    for option in ("remotes", "on", "seed", "device"):
        value = head.get(option)
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words += [f"--{option}", text]
    return shlex.join(words), True


def _what_was_run(
    head: Event, run: RunHistory, legs: Sequence[LegFacts]
) -> Iterator[tuple[str, str]]:
    if not head:
        return
    yield "Scenario", str(head.get("scenario", "not recorded"))
    on = f" on {head['on']}" if "on" in head else ""
    yield "Remotes", f"{', '.join(map(str, head.get('remotes', [])))}{on}"
    yield "Server", str(head.get("serving", "not recorded"))
    monitors = {
        "ours" if "monitor" in command and "-m" in command else shlex.join(command)
        for leg in run.legs.values()
        if (command := masked(leg.settings.get("monitor_command")))
    }
    if monitors:
        yield "Monitor", "; ".join(sorted(monitors))
    yield "Started", str(head.get("utc", "not recorded"))
    if legs:
        yield "Took", f"{max(leg.end for leg in legs):.1f} s"
    yield "Seed", str(head.get("seed", "not recorded"))
    if "device" in head:
        yield "Device", str(head["device"])


# Settings of a leg that a reader of the report needs, in words.
_SETTINGS = {
    "clients": "clients",
    "poll_s": "the monitor polls every (s)",
    "tick_s": "the server looks every (s)",
    "bound_s": "a release may take (s)",
    "latency_bound_s": "a request may take (s)",
    "latency_window_s": "a swap window is (s)",
    "paced": "releases one by one",
    "monitor_command": "monitor's command",
    "producer_command": "producer's command",
    "unseen": "not seen by the run",
}


def _settings(leg: LegHistory) -> Iterator[tuple[str, str]]:
    settings = masked(leg.settings)
    for name, words in _SETTINGS.items():
        if name in settings:
            value = settings[name]
            if name.endswith("_command"):
                yield words, shlex.join(map(str, value))
            elif isinstance(value, list):
                yield words, ", ".join(map(str, value))
            elif isinstance(value, bool):
                yield words, "yes" if value else "no"
            else:
                yield words, str(value)


def _texts(values: object) -> Iterator[tuple[str, str]]:
    for name, value in values.items() if isinstance(values, dict) else ():
        if name == "memory_bytes" and isinstance(value, (int, float)):
            yield "memory", f"{value / 1e9:.1f} GB"
        else:
            yield str(name), str(value)
