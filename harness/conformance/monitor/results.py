"""Results: what a run found out, against what was expected of the monitor. Values only.

An expected failure names its evidence. ``evidence`` is a pattern that one reason of the verdict
must match (``re.search``). Every other reason must match ``evidence``, or a pattern of ``also``
(consequences of the same cause). A failure with another reason is not the expected failure, and
fails the run. So does a pass. ``sometimes``: the failure depends on timing, so a pass is fine, too.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

from harness.checker.outcome import Outcome
from harness.checker.verdict import Verdict
from harness.conformance.results import CaseResult, Word

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
AS_EXPECTED = "failed as expected"
OTHERWISE = "failed otherwise than expected"
UNEXPECTED_PASS = "passed unexpectedly"
WORDS = {
    PASSED: Word(Outcome.VALID, "passed"),
    FAILED: Word(Outcome.INVALID, "**failed**"),
    UNKNOWN: Word(Outcome.UNKNOWN, "unknown"),
    AS_EXPECTED: Word(Outcome.VALID, "fails"),
    OTHERWISE: Word(Outcome.INVALID, "**fails otherwise**"),
    UNEXPECTED_PASS: Word(Outcome.INVALID, "**passed unexpectedly**"),
}
# What the scenario alone says, whatever is expected.
PLAIN = {Outcome.VALID: PASSED, Outcome.INVALID: FAILED, Outcome.UNKNOWN: UNKNOWN}


@dataclass(frozen=True)
class Expected:
    """One expected failure. ``scenario`` is a name or a pattern (``*``); ``remotes`` None: all."""

    scenario: str
    remotes: Optional[tuple[str, ...]]
    # Why it fails, for the page.
    reason: str
    # A pattern that a reason of the verdict must match.
    evidence: str
    # Patterns that the other reasons may match.
    also: tuple[str, ...] = ()
    # Whether a pass is fine as well.
    sometimes: bool = False

    def is_about(self, scenario: str, place: str) -> bool:
        """Whether it says something of this pair."""
        fits = self.remotes is None or place in self.remotes
        return fits and fnmatch.fnmatch(scenario, self.scenario)

    def explains(self, verdict: Verdict) -> bool:
        """Whether a failure is this one, by its evidence."""
        patterns = (self.evidence, *self.also)
        return any(re.search(self.evidence, reason) for reason in verdict.reasons) and all(
            any(re.search(pattern, reason) for pattern in patterns) for reason in verdict.reasons
        )


@dataclass(frozen=True)
class Result:
    """One scenario on one remote. ``expected``: the failure that was expected of it, if any."""

    scenario: str
    # The name of the remote.
    place: str
    # What the judge says.
    verdict: Verdict
    # How long it took.
    seconds: float
    # What was counted, for a reader of the page.
    facts: tuple[tuple[str, str], ...] = ()
    expected: Optional[Expected] = None
    # The monitor's first command line.
    command: str = ""
    # The folder of its logs, in the run's folder.
    folder: str = ""

    @property
    def word(self) -> str:
        """Return one of ``WORDS``."""
        outcome = self.verdict.outcome
        if self.expected is None or outcome is Outcome.UNKNOWN:
            return PLAIN[outcome]
        if outcome is Outcome.INVALID:
            return AS_EXPECTED if self.expected.explains(self.verdict) else OTHERWISE
        return PASSED if self.expected.sometimes else UNEXPECTED_PASS

    @property
    def case(self) -> CaseResult:
        """Return the result as both suites have it."""
        return CaseResult(
            f"{self.place}/{self.scenario}",
            self.word,
            WORDS[self.word].outcome,
            self.verdict.reasons,
            self.expected.reason if self.expected else "",
            self.seconds,
            self.facts,
            self.verdict.claims,
            self.command,
            self.folder,
        )


def against(result: Result, expected: Sequence[Expected]) -> Result:
    """Return the result with the failure that was expected of it.

    Of several expected failures, this is the first that explains the result, else the first.
    """
    fitting = [one for one in expected if one.is_about(result.scenario, result.place)]
    explaining = [one for one in fitting if one.explains(result.verdict)]
    return replace(result, expected=next(iter([*explaining, *fitting]), None))
