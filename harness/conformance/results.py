"""Results: what a run found out, against what was expected of the monitor. Values only.

A file of expected failures is JSON:

    {"monitor": "what it is", "failures": [
        {"scenario": "happy-path", "remotes": ["http"], "reason": "why", "sometimes": false}]}

``scenario`` is a name or a pattern (``*``); the first entry that fits counts. ``remotes`` left out
means all. ``sometimes``: the failure depends on when something happens, so that either outcome is
fine. Any other failure, and a pass where a failure was expected, fails the run.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..errors import BadInput
from .judge import FAILED, PASSED, UNKNOWN, Verdict


@dataclass(frozen=True)
class Expected:
    """One expected failure."""

    scenario: str
    remotes: Optional[tuple[str, ...]]
    reason: str
    sometimes: bool = False


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
        """One of: passed, failed, unknown, failed as expected, passed unexpectedly."""
        word = self.verdict.word
        if self.expected is None or word == UNKNOWN:
            return word
        if word == FAILED:
            return "failed as expected"
        return PASSED if self.expected.sometimes else "passed unexpectedly"


def read_expected(text: str, known: Iterable[str], source: str) -> list[Expected]:
    """The expected failures in a file's text. Raises ``BadInput`` naming ``source``."""
    scenarios = set(known)
    try:
        failures = json.loads(text)["failures"]
        expected = [
            Expected(
                str(failure["scenario"]),
                tuple(failure["remotes"]) if "remotes" in failure else None,
                str(failure["reason"]),
                bool(failure.get("sometimes", False)),
            )
            for failure in failures
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{source} is no file of expected failures ({type(error).__name__}: {error}): it needs "
            '{"failures": [{"scenario": …, "remotes": […], "reason": …}]}'
        ) from None
    for one in expected:
        if not fnmatch.filter(scenarios, one.scenario):
            raise BadInput(
                f"{source} expects a failure of {one.scenario!r}, which is no scenario: see --list"
            )
    return expected


def against(result: Result, expected: Sequence[Expected]) -> Result:
    """The result with the failure that was expected of it, if one was."""
    for one in expected:
        if fnmatch.fnmatch(result.scenario, one.scenario) and (
            one.remotes is None or result.place in one.remotes
        ):
            return replace(result, expected=one)
    return result


def merged(
    runs: Iterable[tuple[dict[str, Any], list[Result]]],
) -> list[tuple[dict[str, Any], list[Result]]]:
    """Runs of the same monitor's name as one, in the order they come; of two results for one
    pair the first stays. ``runs`` in what is said about them counts them."""
    by_name: dict[str, tuple[dict[str, Any], dict[tuple[str, str], Result]]] = {}
    for about, results in runs:
        whole, pairs = by_name.setdefault(str(about["name"]), ({**about, "runs": 0}, {}))
        whole["runs"] += about.get("runs", 1)
        for result in results:
            pairs.setdefault((result.scenario, result.place), result)
    return [(about, list(pairs.values())) for about, pairs in by_name.values()]


def exit_code(results: Iterable[Result]) -> int:
    """0 all as claimed or expected, 1 a claim failed or passed unexpectedly, 3 unknown."""
    outcomes = {result.outcome for result in results}
    if outcomes & {FAILED, "passed unexpectedly"}:
        return 1
    return 3 if UNKNOWN in outcomes or not outcomes else 0


def as_json(results: Iterable[Result], about: Mapping[str, Any]) -> str:
    """The whole run as JSON; ``about`` says of what."""
    rows = [
        {
            "scenario": result.scenario,
            "remote": result.place,
            "verdict": result.verdict.word,
            "evidence": result.verdict.evidence,
            "outcome": result.outcome,
            "reason": result.expected.reason if result.expected else None,
            "sometimes": bool(result.expected and result.expected.sometimes),
            "seconds": round(result.seconds, 2),
            "facts": dict(result.facts),
        }
        for result in results
    ]
    return json.dumps({"format": 1, **about, "results": rows}, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, source: str) -> tuple[dict[str, Any], list[Result]]:
    """What ``as_json`` wrote. Raises ``BadInput`` naming ``source``."""
    try:
        content = json.loads(text)
        results = [
            Result(
                row["scenario"],
                row["remote"],
                Verdict(row["verdict"], row["evidence"]),
                float(row["seconds"]),
                tuple(row["facts"].items()),
                Expected(row["scenario"], (row["remote"],), row["reason"], row["sometimes"])
                if row["reason"]
                else None,
            )
            for row in content.pop("results")
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{source} is no result of a conformance run ({type(error).__name__}: {error}): give a "
            "file that --json wrote"
        ) from None
    return content, results
