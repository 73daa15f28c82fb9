"""From what was observed to a verdict: each check judges one claim."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable, Optional

from harness.checker.outcome import Claim, Outcome
from harness.checker.verdict import Verdict

from ..observed import Observed

#: Returns None if its claim holds, else the evidence.
Check = Callable[[Observed], Optional[str]]


class Unjudged(str):
    """Why a claim can be neither upheld nor refuted: it makes the verdict unknown."""


def verdict(observed: Observed, checks: Iterable[Check]) -> Verdict:
    """Judge each claim.

    If a wait was not met, the scenario did not get far enough for its claims. Then the verdict is
    unknown, unless a claim is broken.
    """
    claims = [_claim("every wait is met", Unjudged(why)) for why in observed.unmet]
    claims = claims or [_claim("every wait is met", None)]
    # A check made by a function, such as ``ends_with``, has that function's name.
    claims += [_claim(check.__qualname__.partition(".")[0], check(observed)) for check in checks]
    return Verdict(tuple(claims))


def one_claim(name: str, outcome: Outcome, *reasons: str) -> Verdict:
    """Return the verdict on a case that has only this claim."""
    return Verdict(tuple(Claim("", name, outcome, why) for why in reasons or ("",)))


def _claim(name: str, evidence: Optional[str]) -> Claim:
    if evidence is None:
        return Claim("", name, Outcome.VALID)
    outcome = Outcome.UNKNOWN if isinstance(evidence, Unjudged) else Outcome.INVALID
    return Claim("", name, outcome, str(evidence))
