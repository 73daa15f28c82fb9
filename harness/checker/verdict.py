"""The checker: a pure function from a history to a verdict.

There are three outcomes:

- *Invalid*: a record breaks a claim about a remote (``harness.checker.claims``). The verdict
  quotes the records. This also holds for a run that was cut short.
- *Valid*: the run is complete and every claim holds.
- *Unknown*: no claim is broken, but the history is incomplete (the run was cut short, no request
  was sent, a record is missing). If the checker crashes, the verdict is unknown, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.support.errors import BadInput

from .claims import judge_leg
from .history import Event
from .outcome import Claim, Outcome
from .run_history import RunHistory, sort


@dataclass(frozen=True)
class Verdict:
    """The result of the checker for a whole run, or for one case of a conformance suite."""

    # All claims that were judged.
    claims: tuple[Claim, ...] = ()

    @property
    def outcome(self) -> Outcome:
        if self.broken:
            return Outcome.INVALID
        if self.unknown or not self._with(Outcome.VALID):
            return Outcome.UNKNOWN
        return Outcome.VALID

    @property
    def exit_code(self) -> int:
        """0: all claims hold; 1: a claim is broken; 3: unknown, and no claim is broken."""
        return {Outcome.VALID: 0, Outcome.INVALID: 1, Outcome.UNKNOWN: 3}[self.outcome]

    @property
    def broken(self) -> tuple[Claim, ...]:
        """The claims that do not hold."""
        return self._with(Outcome.INVALID)

    @property
    def unknown(self) -> tuple[Claim, ...]:
        """The required claims that cannot be judged."""
        return tuple(claim for claim in self._with(Outcome.UNKNOWN) if claim.required)

    @property
    def left_out(self) -> tuple[Claim, ...]:
        """The other claims that cannot be judged; they do not change the verdict."""
        return tuple(claim for claim in self._with(Outcome.UNKNOWN) if not claim.required)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why: of the broken claims, else of those that cannot be judged."""
        return tuple(claim.why for claim in self.broken or self.unknown)

    @property
    def evidence(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)

    def _with(self, outcome: Outcome) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if claim.outcome is outcome)


def judge(events: Iterable[Event]) -> Verdict:
    """Return the verdict on a whole history."""
    try:
        run = sort(events)
        if run.not_finite:
            raise ValueError(run.not_finite)
        claims = [_run_is_complete(run)]
        for leg in run.legs.values():
            claims += judge_leg(leg)
        return Verdict(tuple(claims))
    except BadInput as error:
        return Verdict((Claim("run", "checker", Outcome.UNKNOWN, str(error)),))
    except Exception as error:  # a checker that crashes has no verdict
        why = f"the checker failed: {type(error).__name__}: {error}"
        return Verdict((Claim("run", "checker", Outcome.UNKNOWN, why),))


def _run_is_complete(run: RunHistory) -> Claim:
    legs_cut = [
        f"{name} was cut short: {leg.cut_short}" for name, leg in run.legs.items() if leg.cut_short
    ]
    why = ""
    if run.damaged:
        first = run.damaged[0]
        why = f"line {first['line']} of {first['file']} is damaged: {first['why']}"
    elif len(run.runs) != 1:
        why = f"the history has {len(run.runs)} records of a run, not one"
    elif run.cut_short:
        why = f"the run was cut short: {run.cut_short[0]['why']}"
    elif legs_cut:
        why = "; ".join(legs_cut)
    else:
        unfinished = [
            name for name in _planned(run) if name not in run.legs or not run.legs[name].ended
        ]
        if unfinished:
            why = f"the history has no end, or no record at all, of {', '.join(unfinished)}"
        elif not run.ended:
            why = "no end of the run was recorded"
    outcome = Outcome.UNKNOWN if why else Outcome.VALID
    return Claim("run", "run is complete", outcome, why, tuple(run.cut_short))


def _planned(run: RunHistory) -> list[str]:
    """Return the names of the legs that the run is to have."""
    remotes, servers = run.runs[0]["remotes"], run.runs[0].get("servers", 1)
    if servers == 1:
        return list(remotes)
    return [f"{remote}/{number}" for remote in remotes for number in range(1, servers + 1)]
