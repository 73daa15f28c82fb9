"""What a run's results look like: lines, JUnit XML, and the page ``docs/conformance.md``.

Values in, text out: the results of one monitor or of several become one text.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from harness.checker.claims import Outcome
from harness.report import junit

from .judge import FAILED, PASSED, UNKNOWN
from .results import AS_EXPECTED, BAD, OTHERWISE, UNEXPECTED_PASS, Judged, Result
from .scenarios import FAMILIES
from .scenarios.base import Scenario

_MARKS = {
    PASSED: "passed",
    FAILED: "**failed**",
    UNKNOWN: "unknown",
    AS_EXPECTED: "fails",
    OTHERWISE: "**fails otherwise**",
    UNEXPECTED_PASS: "**passed unexpectedly**",
}


def line(result: Result) -> str:
    """One result in one line."""
    text = f"{result.outcome:18} {result.place:8} {result.scenario:32} {result.seconds:6.1f} s"
    if result.outcome == AS_EXPECTED and result.expected is not None:
        return f"{text}  {result.expected.reason}"
    if result.outcome == OTHERWISE and result.expected is not None:
        return f"{text}  {result.verdict.evidence} (expected: {result.expected.evidence})"
    return f"{text}  {result.verdict.evidence}".rstrip()


def summary(results: Sequence[Result]) -> str:
    """One line over all."""
    counts = {word: sum(1 for r in results if r.outcome == word) for word in _MARKS}
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    return f"{len(results)} checks: {', '.join(parts) or 'nothing was run'}"


def junit_xml(judged: Iterable[Judged]) -> str:
    """JUnit XML: a suite a monitor, a test case a pair; unknown is an error, an expected failure
    is skipped."""
    suites = [
        junit.suite(f"conformance of {about['name']}", [_case(result) for result in results])
        for about, results in judged
    ]
    return junit.text(junit.several(suites))


def _case(result: Result) -> junit.Case:
    outcome = Outcome.INVALID if result.outcome in BAD else Outcome.VALID
    known = result.expected is not None and result.outcome == AS_EXPECTED
    why = result.verdict.evidence or "it passed, and was expected to fail"
    return junit.Case(
        f"conformance.{result.place}",
        result.scenario,
        Outcome.UNKNOWN if result.outcome == UNKNOWN else outcome,
        result.expected.reason if known and result.expected is not None else why,
        skipped=known,
        seconds=result.seconds,
    )


def page(judged: Sequence[Judged], about: Mapping[str, Any]) -> str:
    """The documentation page of one run: each scenario × remote of every monitor, side by side."""
    minutes = about["seconds"] / 60
    lines = [
        "# Conformance of monitors",
        "",
        "Made by one run of the suite (`make conformance`); do not edit. Each monitor is run as a",
        "black box, by its command line, against real remotes. A cell says what happened on which",
        "remote: *fails* is a failure that is known, with the evidence that is known of it; its",
        "reason is below, and any other failure fails the run. *–* means that the scenario has no",
        "meaning there, or was not run. What a failure means was decided by the claims in",
        "`harness/conformance/monitor/judge/` from what was observed, and by nothing else.",
        "",
        "To judge any monitor:",
        "",
        "```sh",
        ".venv/bin/python -m harness conformance --monitor-cmd 'python3 -m my_monitor'",
        ".venv/bin/python -m harness conformance --monitor-cmd 'mine "
        "--from={general_host}/{remote_path} --into={local_path}' --remotes http",
        ".venv/bin/python -m harness conformance --list   # each scenario, and what a user loses",
        "```",
        "",
        "The monitor runs in a folder of its own. A relative path to a file in its command, and a",
        "Python module after `-m`, are looked for in the folder where the suite is started. The",
        "command is started once first. A command that ends before it asks the remote anything is",
        "bad input (exit code 2), and nothing is judged.",
        "",
        "What the means cannot show: `clock-set-back` sets the C library's clocks and waits back,",
        "not the kernel's, so that times which the kernel gives a file by itself stay. Kills are",
        "made with ptrace at every system call that changes a file; writes through shared mappings",
        "and io_uring would not be seen.",
        "",
        "## The monitors",
        "",
        f"One run on {about['date']}, seed {about['seed']}, {about['jobs']} scenarios at a time, "
        f"{minutes:.0f} minutes{'; only a part: ' + about['part'] if about['part'] else ''}.",
        "",
    ]
    for monitor, results in judged:
        lines += [
            f"- **{monitor['name']}**: `{shlex.join(shlex.split(monitor['command']))}`, "
            f"{summary(results)}; interval {monitor['interval']:g} s"
            f"{', sampled' if monitor['short'] else ''}.",
        ]
    for family, scenarios in FAMILIES:
        lines += ["", f"## {family}", ""]
        lines += _table([scenario() for scenario in scenarios], judged)
    lines += _reasons(judged)
    return "\n".join(lines) + "\n"


def _table(scenarios: Sequence[Scenario], judged: Sequence[Judged]) -> list[str]:
    names = [str(about["name"]) for about, _ in judged]
    head = ["scenario", "what a user loses when it fails", *names]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for scenario in scenarios:
        cells = [f"`{scenario.name}` {scenario.title}", scenario.loss]
        cells += [_cell(scenario.name, results) for _, results in judged]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


# What a scenario counted, worth saying beside the remote's name.
_COUNTED = ("kills", "releases", "scenarios watched")


def _cell(scenario: str, results: Sequence[Result]) -> str:
    own = [result for result in results if result.scenario == scenario]
    marks: dict[str, list[str]] = {}
    for result in own:
        counted = [f"{value} {name}" for name, value in result.facts if name in _COUNTED]
        place = f"{result.place} ({', '.join(counted)})" if counted else result.place
        marks.setdefault(_MARKS[result.outcome], []).append(place)
    return "; ".join(f"{mark}: {', '.join(places)}" for mark, places in marks.items()) or "–"


def _reasons(judged: Sequence[Judged]) -> list[str]:
    lines: list[str] = []
    for about, results in judged:
        wrong = [result for result in results if result.outcome not in (PASSED,)]
        if not wrong:
            continue
        lines += ["", f"## Why: {about['name']}", ""]
        lines += ["| scenario | remote | why | what was seen |", "| --- | --- | --- | --- |"]
        for result in wrong:
            reason = result.expected.reason if result.expected else ""
            seen = _shorter(result.verdict.evidence)
            lines.append(f"| `{result.scenario}` | {result.place} | {reason} | {seen} |")
    return lines


def _shorter(text: Optional[str], limit: int = 160) -> str:
    plain = " ".join((text or "").replace("|", "\\|").split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
