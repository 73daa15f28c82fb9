"""Results: what a run found out, against what was expected of the monitor. Values only.

An expected failure names the evidence it has to have. ``evidence`` is a pattern: one reason of
the verdict has to match it (``re.search``); every other reason has to match it too, or a pattern
of ``also`` (what follows from the cause). A failure with a reason that neither explains is
another failure than the expected one, and fails the run as any other, and so does a pass.
``sometimes``: whether it shows depends on when something happens, so a pass is fine as well.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from .judge import FAILED, PASSED, UNKNOWN, Verdict

AS_EXPECTED = "failed as expected"
OTHERWISE = "failed otherwise than expected"
UNEXPECTED_PASS = "passed unexpectedly"
# What makes a run fail.
BAD = (FAILED, OTHERWISE, UNEXPECTED_PASS)


@dataclass(frozen=True)
class Expected:
    """One expected failure. ``scenario`` is a name or a pattern (``*``); ``remotes`` None: all."""

    scenario: str
    remotes: Optional[tuple[str, ...]]
    reason: str
    evidence: str
    also: tuple[str, ...] = ()
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
    place: str
    verdict: Verdict
    seconds: float
    facts: tuple[tuple[str, str], ...] = ()
    expected: Optional[Expected] = None

    @property
    def outcome(self) -> str:
        """One of: passed, failed, unknown, failed as expected, failed otherwise than expected,
        passed unexpectedly."""
        word = self.verdict.word
        if self.expected is None or word == UNKNOWN:
            return word
        if word == FAILED:
            return AS_EXPECTED if self.expected.explains(self.verdict) else OTHERWISE
        return PASSED if self.expected.sometimes else UNEXPECTED_PASS


def against(result: Result, expected: Sequence[Expected]) -> Result:
    """The result with the failure that was expected of it: of several the first that explains
    what happened, or the first."""
    fitting = [one for one in expected if one.is_about(result.scenario, result.place)]
    explaining = [one for one in fitting if one.explains(result.verdict)]
    return replace(result, expected=next(iter([*explaining, *fitting]), None))


def exit_code(results: Iterable[Result]) -> int:
    """0 all as claimed or expected, 1 a claim failed or passed unexpectedly, 3 unknown."""
    outcomes = {result.outcome for result in results}
    if outcomes & set(BAD):
        return 1
    return 3 if UNKNOWN in outcomes or not outcomes else 0


# About a monitor: name, command, interval; and its results.
Judged = tuple[Mapping[str, Any], Sequence[Result]]


def as_json(judged: Iterable[Judged], about: Mapping[str, Any]) -> str:
    """The whole run as JSON; ``about`` is of the run."""
    monitors = [{**monitor, "results": [_row(one) for one in found]} for monitor, found in judged]
    content = {"format": 2, **about, "monitors": monitors}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _row(result: Result) -> dict[str, Any]:
    return {
        "scenario": result.scenario,
        "remote": result.place,
        "verdict": result.verdict.word,
        "reasons": list(result.verdict.reasons),
        "outcome": result.outcome,
        "expected": result.expected.reason if result.expected else None,
        "seconds": round(result.seconds, 2),
        "facts": dict(result.facts),
    }
