"""The checker: a pure function from a history to a verdict.

There are three outcomes:

- *Invalid*: a record breaks a claim about a remote (``harness.checker.claims``). The verdict
  quotes the records. This also holds for a run that was cut short.
- *Valid*: the run is complete and every claim holds.
- *Unknown*: no claim is broken, but the history is incomplete (the run was cut short, nothing was
  asked, a record is missing). A crash of the checker is unknown, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from harness.support.errors import BadInput

from .claims import judge_leg
from .history import Event
from .leg_history import LegHistory, sort
from .outcome import Claim, Outcome


@dataclass(frozen=True)
class Verdict:
    """What the checker says of a whole run, or of one case of a conformance suite."""

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
        """The claims that cannot be judged and have to be."""
        return tuple(claim for claim in self._with(Outcome.UNKNOWN) if claim.required)

    @property
    def left_out(self) -> tuple[Claim, ...]:
        """The claims that cannot be judged and need not be: the verdict is without them."""
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
    """The verdict on a whole history."""
    try:
        events = list(events)
        for event in events:
            # Every comparison with such a time or limit is false, and would hide what is wrong.
            if any(isinstance(value, float) and not isfinite(value) for value in event.values()):
                raise ValueError(f"a number of an event {event['event']} is not finite")
        legs = sort(events)
        claims = [_run_is_complete(events, legs)]
        for leg in legs.values():
            claims += judge_leg(leg)
        return Verdict(tuple(claims))
    except BadInput as error:
        return Verdict((Claim("run", "checker", Outcome.UNKNOWN, str(error)),))
    except Exception as error:  # a checker that crashes has found nothing out
        why = f"the checker failed: {type(error).__name__}: {error}"
        return Verdict((Claim("run", "checker", Outcome.UNKNOWN, why),))


def _run_is_complete(events: list[Event], legs: dict[str, LegHistory]) -> Claim:
    runs = [event for event in events if event["event"] == "run"]
    # A cut_short with a remote ended only that leg.
    cut = [event for event in events if event["event"] == "cut_short" and "remote" not in event]
    legs_cut = [
        f"{name} was cut short: {leg.cut_short}" for name, leg in legs.items() if leg.cut_short
    ]
    damaged = [event for event in events if event["event"] == "damaged"]
    why = ""
    if damaged:
        why = f"line {damaged[0]['line']} of the history is damaged: {damaged[0]['why']}"
    elif len(runs) != 1:
        why = f"the history has {len(runs)} records of a run, not one"
    elif cut:
        why = f"the run was cut short: {cut[0]['why']}"
    elif legs_cut:
        why = "; ".join(legs_cut)
    else:
        unfinished = [
            name for name in runs[0]["remotes"] if name not in legs or not legs[name].ended
        ]
        if unfinished:
            why = f"nothing, or no end, is recorded of {', '.join(unfinished)}"
        elif not any(event["event"] == "end" for event in events):
            why = "no end of the run was recorded"
    outcome = Outcome.UNKNOWN if why else Outcome.VALID
    return Claim("run", "run is complete", outcome, why, tuple(cut))
