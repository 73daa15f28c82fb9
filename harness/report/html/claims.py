"""The claims of a verdict in plain words, with what each looked at and the evidence against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, Optional

from harness.checker import claims as rules
from harness.checker.history import Event
from harness.checker.leg_history import LegHistory
from harness.checker.outcome import Claim, Outcome
from harness.report.masking import masked, masked_text

from .excerpts import Excerpt, Journal

# Claims of the whole run, or of a leg without settings.
_OTHER_SENTENCES = {
    "run is complete": "The history has the whole run, from its first to its last event.",
    "history is complete": "The history has everything about this remote.",
    "checker": "The checker could read the history.",
}
# The times in a record, in the order in which they say when something went wrong.
_TIMES = ("answered", "first_served", "t", "t_end", "sent")
# The most records of a broken claim that get the log lines around them.
_MAX_EXCERPTS = 3
_BEFORE_S, _AFTER_S = 2.0, 1.0


@dataclass(frozen=True)
class Judged:
    """One claim for a reader."""

    # The leg; empty for a claim about the whole run.
    remote: str
    # The claim's name in the table of claims.
    name: str
    # Unique in the page.
    id: str
    # What the claim says.
    sentence: str
    # What the checker says.
    outcome: Outcome
    # Whether the verdict needs the claim.
    required: bool
    # The reason, as one sentence.
    why: str
    # What the checker looked at.
    looked_at: str
    # The records that break the claim: names and values.
    records: tuple[tuple[tuple[str, str], ...], ...]
    # The logs around the records.
    excerpts: tuple[Excerpt, ...]

    @property
    def word(self) -> str:
        """Return the outcome in a word."""
        if self.outcome is Outcome.VALID:
            return "holds"
        if self.outcome is Outcome.INVALID:
            return "broken"
        return "unknown" if self.required else "not judged"


def judged(
    claim: Claim, number: int, leg: Optional[LegHistory], journal: Optional[Journal], begin: float
) -> Judged:
    """Return a claim with its evidence.

    Args:
        claim: The claim of the verdict.
        number: Its place in the verdict.
        leg: The leg of the claim; None for a claim about the run.
        journal: The lines of the leg.
        begin: When the run began, on the history's clock.
    """
    rule = rules.CLAIMS.get(claim.name)
    broken = claim.outcome is Outcome.INVALID
    excerpts = []
    for record in claim.records[:_MAX_EXCERPTS] if broken and journal is not None else ():
        at = _when(record)
        if at is not None and journal is not None:
            title = f"around {at - begin:.3f} s"
            excerpts.append(journal.around(at - begin, title, _BEFORE_S, _AFTER_S))
    return Judged(
        remote=claim.remote,
        name=claim.name,
        id=f"claim-{number}",
        sentence=rule.says if rule else _OTHER_SENTENCES.get(claim.name, f"{claim.name}."),
        outcome=claim.outcome,
        required=claim.required,
        # The records say it in full.
        why=masked_text(claim.why.partition(", the first: {")[0] if broken else claim.why),
        looked_at=_looked_at(leg, rule.looks_at) if rule and leg else "",
        records=tuple(_cells(masked(record), begin) for record in claim.records if broken),
        excerpts=tuple(excerpts),
    )


def _when(record: Event) -> Optional[float]:
    times = (record.get(name) for name in _TIMES)
    return next((float(t) for t in times if isinstance(t, (int, float))), None)


def _cells(record: Mapping[str, object], begin: float) -> tuple[tuple[str, str], ...]:
    """Return the fields of a record in words; times count from the begin of the run."""
    cells = []
    for name, value in record.items():
        if name in ("event", "remote"):
            continue
        is_time = name in (*_TIMES, "planned", "t_begin", "deadline")
        if is_time and isinstance(value, (int, float)):
            cells.append((name, f"{value - begin:.3f} s"))
        else:
            text = str(value)
            cells.append((name, text if len(text) <= 300 else f"{text[:300]} …"))
    return tuple(cells)


def _looked_at(leg: LegHistory, what: tuple[str, ...]) -> str:
    return "; ".join(_COUNTS[one](leg) for one in what)


def _requests(leg: LegHistory) -> str:
    asked = leg.predictions
    if not len(asked):
        return "no request"
    seconds = float(asked.answered[-1] - asked.sent.min())
    clients = len(asked.number_of)
    return f"{len(asked):,} requests of {_some(clients, 'client')} over {seconds:.1f} s"


def _releases(leg: LegHistory) -> str:
    bad = len(leg.published) - len(leg.good)
    return _some(len(leg.published), "release") + (f", {bad} of them bad" if bad else "")


def _identities(leg: LegHistory) -> str:
    times = [float(event["t"]) for event in leg.servers]
    over = f", {times[-1] - times[0]:.1f} s apart" if len(times) > 1 else ""
    return _some(len(times), "look") + f" at the server's process{over}"


def _samples(leg: LegHistory) -> str:
    times = [float(event["t"]) for event in leg.resources]
    over = f" over {times[-1] - times[0]:.1f} s" if times else ""
    return _some(len(times), "sample") + f" of memory, files, threads and CPU time{over}"


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


_COUNTS: dict[str, Callable[[LegHistory], str]] = {
    rules.REQUESTS: _requests,
    rules.RELEASES: _releases,
    rules.STATES: lambda leg: _some(len(leg.swapped), "state") + " of the live directory",
    rules.RELOADS: lambda leg: _some(len(leg.reloads), "reload"),
    rules.IDENTITIES: _identities,
    rules.SAMPLES: _samples,
    rules.POLLS: lambda leg: _some(len(leg.polls), "poll"),
}
