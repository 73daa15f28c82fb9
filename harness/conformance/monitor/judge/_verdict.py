"""Claims, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, Optional

from ..observed import Observed

Claim = Callable[[Observed], Optional[str]]


class Unjudged(str):
    """Why a claim can be neither upheld nor refuted: it makes the verdict unknown."""


PASSED = "passed"
FAILED = "failed"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """``word`` is passed, failed or unknown; ``evidence`` says why unless it passed: a sentence
    for each claim that is broken or could not be judged, each wait that was not met."""

    word: str
    reasons: tuple[str, ...] = ()

    @property
    def evidence(self) -> str:
        """The reasons in one line."""
        return "; ".join(self.reasons)


def verdict(observed: Observed, claims: Iterable[Claim]) -> Verdict:
    """Failed with the broken claims' evidence; unknown when none is broken but one could not be
    judged, or a wait was not met: the scenario did not get as far as its claims reach."""
    found = [evidence for claim in claims if (evidence := claim(observed)) is not None]
    broken = [evidence for evidence in found if not isinstance(evidence, Unjudged)]
    if broken:
        return Verdict(FAILED, tuple(broken))
    if observed.unmet or found:
        return Verdict(UNKNOWN, (*observed.unmet, *found))
    return Verdict(PASSED)
