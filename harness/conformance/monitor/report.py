"""What a run's results look like: lines, and the page ``docs/conformance.md``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from harness.conformance.page import NOT_RUN, reasons, seen, table
from harness.conformance.results import About, CaseResult, Column, Run, Suite, counts

from . import judge
from .results import AS_EXPECTED, FAILED, OTHERWISE, PASSED, UNEXPECTED_PASS, WORDS, Result
from .scenarios import FAMILIES
from .scenarios.base import Scenario
from .scenarios.throughout import WholeThroughout


def line(result: Result) -> str:
    """One result in one line."""
    text = f"{result.word:18} {result.place:8} {result.scenario:32} {result.seconds:6.1f} s"
    if result.word == AS_EXPECTED and result.expected is not None:
        return f"{text}  {result.expected.reason}"
    if result.word == OTHERWISE and result.expected is not None:
        return f"{text}  {result.verdict.evidence} (expected: {result.expected.evidence})"
    return f"{text}  {result.verdict.evidence}".rstrip()


def summary(results: Sequence[CaseResult]) -> str:
    """One line over all."""
    return f"{len(results)} checks: {counts(results, WORDS) or 'nothing was run'}"


_INTRODUCTION = """\
For engineers who write a monitor, or choose one. After this page you know which checks each monitor
passes, and what a user loses if a check fails. One run of the suite makes this page; do not edit it
(`make conformance`). The suite runs each monitor as a black box, by its command line, against real
remotes. A cell names the outcome and the remotes that had it:

- *passed*: every claim of the scenario held.
- *fails*: the failure is known, and its evidence is the expected one. The reason is below.
- *–*: the scenario has no meaning there, or was not run.

Any other failure fails the run. The claims in `harness/conformance/monitor/judge/` decide from what
the suite observed.

To judge any monitor:

```sh
.venv/bin/python -m harness conformance --monitor-cmd 'python3 -m my_monitor'
.venv/bin/python -m harness conformance --remotes http \\
    --monitor-cmd 'mine --from={general_host}/{remote_path} --into={local_path}'
.venv/bin/python -m harness conformance --list   # each scenario, and what a user loses
```

Some scenarios need a feature beside upstream's, such as push or hooks. The suite runs them only for
a monitor that has the feature. [Judge your own monitor](how-to/own-parts.md#a-monitor) shows how to
say so.

The monitor runs in a folder of its own. So the suite makes relative paths in its command absolute.
It looks for files, and for a Python module after `-m`, in the folder where you start the suite. It
starts the command once first. A command that ends before it asks the remote anything is bad input
(exit code 2), and the suite judges nothing.

The suite cannot show everything. `clock-set-back` changes the clocks of the C library, not of the
kernel, so the kernel's own times of files stay. The suite uses ptrace to kill at every system call
that changes a file. It does not see writes through shared mappings and io_uring."""


def page(run: Run) -> str:
    """The documentation page of one run: each scenario × remote of every monitor, side by side."""
    about = run.about
    minutes = about["seconds"] / 60
    lines = [
        "# Conformance of monitors",
        "",
        *_INTRODUCTION.splitlines(),
        "",
        "## The monitors",
        "",
        f"One run on {about['date']}, seed {about['seed']}, {about['jobs']} scenarios at a time, "
        f"{minutes:.0f} minutes{'; only a part: ' + about['part'] if about['part'] else ''}.",
        "",
    ]
    for column in run.columns:
        monitor = column.about
        lines += [
            f"- **{column.name}**: `{shlex.join(shlex.split(monitor['command']))}`, "
            f"{summary(column.results)}; interval {monitor['interval']:g} s"
            f"{', sampled' if monitor['short'] else ''}.",
        ]
    head = ["scenario", "what a user loses when it fails", *(one.name for one in run.columns)]
    for family, scenarios in FAMILIES:
        rows = [_cells(scenario(), run.columns) for scenario in scenarios]
        lines += ["", f"## {family}", "", *table(head, rows)]
    for column in run.columns:
        why = [
            (f"`{one.name}`", one.group, one.known, seen(one))
            for one in column.results
            if one.word != PASSED
        ]
        lines += reasons(column, ["scenario", "remote", "why", "what was seen"], why)
    return "\n".join(lines) + "\n"


def _cells(scenario: Scenario, columns: Sequence[Column]) -> list[str]:
    marks = (_marks([one for one in c.results if one.name == scenario.name]) for c in columns)
    return [f"`{scenario.name}` {scenario.title}", scenario.loss, *marks]


# What a scenario counted, worth saying beside the remote's name.
_COUNTED = ("kills", "releases", "scenarios watched")


def _marks(results: Sequence[CaseResult]) -> str:
    """Return what happened on which remotes."""
    marks: dict[str, list[str]] = {}
    for result in results:
        counted = [f"{value} {name}" for name, value in result.facts if name in _COUNTED]
        place = f"{result.group} ({', '.join(counted)})" if counted else result.group
        marks.setdefault(WORDS[result.word].mark, []).append(place)
    return "; ".join(f"{mark}: {', '.join(places)}" for mark, places in marks.items()) or NOT_RUN


def _row(result: CaseResult) -> dict[str, Any]:
    """Return a monitor's additional keys, such as the scenario's verdict without expectations."""
    said = {AS_EXPECTED: FAILED, OTHERWISE: FAILED, UNEXPECTED_PASS: PASSED}
    return {
        "scenario": result.name,
        "remote": result.group,
        "verdict": said.get(result.word, result.word),
    }


def _sections() -> dict[str, list[About]]:
    return {
        family: [About(one.name, one.title, one.loss) for one in scenarios]
        for family, scenarios in FAMILIES
    }


def _repeat(column: Column, result: CaseResult) -> str:
    # Older files do not have the options.
    options = column.about.get("options") or ["--monitor-cmd", column.about["command"]]
    words = ["--remotes", result.group]
    # The case over all scenarios has no run of its own.
    words += [] if result.name == WholeThroughout.name else ["--only", result.id]
    return f".venv/bin/python -m harness conformance {shlex.join([*options, *words])}"


def _claim(name: str) -> str:
    said = (getattr(judge, name, None).__doc__ or "").partition("\n")[0]
    # The words in parentheses name the field of ``Observed``.
    return re.sub(r" \(``.*?``\)", "", said).replace("``", "")


SUITE = Suite(
    *("Conformance of monitors", "monitors", WORDS, page, _sections, _repeat, _row),
    claim=_claim,
)
