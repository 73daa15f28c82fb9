"""The results of a suite as static pages: the matrix, and a page for each cell.

The pages link to each other, and need no script and no other file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.checker.outcome import Outcome
from harness.conformance.results import About, CaseResult, Column, Run, Suite, counts, verdict
from harness.report.html import page
from harness.report.masking import masked_text

_HERE = Path(__file__).parent
# The most lines of a log on a page: the first and the last ones.
_MAX_LINES = 300
_MAX_LINE = 2000
_MARKS = {"known": "✖", **{outcome.value: mark for outcome, mark in page.MARKS.items()}}


@dataclass(frozen=True)
class Cell:
    """The result of one case in one column.

    Attributes:
        column: The implementation.
        result: The result of the case.
        about: The suite's description of the case.
        suite: The suite.
        logs: The folder of the run.
        number: The position of the column.
    """

    column: Column
    result: CaseResult
    about: About
    suite: Suite
    logs: Path
    number: int

    @property
    def address(self) -> str:
        """The page's path below the folder of the matrix."""
        # Two columns may have the same name.
        return f"{self.number}-{_slug(self.column.name)}/{_slug(self.result.id)}.html"

    @property
    def outcome(self) -> str:
        """The class of the outcome."""
        return _outcome([self.result])

    @property
    def mark(self) -> str:
        """The sign of the outcome."""
        return _MARKS[self.outcome]

    @property
    def word(self) -> str:
        """The outcome in a word."""
        return self.suite.words[self.result.word].mark.strip("*")

    @property
    def command(self) -> str:
        """The command that repeats the case; empty for a column that was recorded."""
        recorded = "note" in self.column.about
        return "" if recorded else masked_text(self.suite.repeat(self.column, self.result))

    @property
    def claims(self) -> list[tuple[str, str, str, str, str]]:
        """The claims: class, sign, name, sentence, and why the claim is broken or unknown."""
        return [
            (
                one.outcome.value,
                page.MARKS[one.outcome],
                one.name.replace("_", " "),
                self.suite.claim(one.name),
                masked_text(one.why),
            )
            for one in self.result.claims
        ]

    @cached_property
    def excerpts(self) -> list[tuple[str, list[str]]]:
        """Each log's name and lines."""
        folder = self.logs / self.result.folder
        files = sorted(folder.glob("*.log")) if self.result.folder else []
        return [
            (file.name, _lines(file))
            for file in [folder / "timeline.txt", *files]
            if file.is_file()
        ]


def write(folder: Path, run: Run, suite: Suite, logs: Path) -> None:
    """Write the pages.

    Args:
        folder: Where the pages go. The matrix is ``index.html``.
        run: The results of the cases.
        suite: The suite of the run.
        logs: The run's folder.
    """
    columns = [*suite.recorded(), *run.columns]

    def cells(about: About) -> list[list[Cell]]:
        return [
            [
                Cell(column, one, about, suite, logs, number)
                for one in column.results
                if about.is_of(one)
            ]
            for number, column in enumerate(columns, 1)
        ]

    sections = {
        title: [(about, row) for about in cases if any(row := cells(about))]
        for title, cases in suite.sections().items()
    }
    _write(
        folder / "index.html",
        "index.html.j2",
        run=run,
        suite=suite,
        columns=[(one, _outcome(one.results), counts(one.results, suite.words)) for one in columns],
        sections={title: rows for title, rows in sections.items() if rows},
        MARKS=_MARKS,
    )
    for rows in sections.values():
        for _, row in rows:
            _write_cells(folder, [cell for of_column in row for cell in of_column], run)


def _write_cells(folder: Path, cells: Sequence[Cell], run: Run) -> None:
    """Write the pages of the cells of one row."""
    for cell in cells:
        others = [one for one in cells if one.result.id == cell.result.id and one is not cell]
        _write(folder / cell.address, "cell.html.j2", cell=cell, others=others, run=run)


def _write(file: Path, template: str, **values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page.rendered(template, _HERE, **values, masked=masked_text), encoding="utf-8")


def _outcome(results: Sequence[CaseResult]) -> str:
    """Return the outcome; ``known`` if only expected failures occurred."""
    known = any(one.is_known_failure for one in results)
    outcome = verdict(results).outcome
    return "known" if known and outcome is Outcome.VALID else outcome.value


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)


def _lines(file: Path) -> list[str]:
    lines = masked_text(file.read_text(encoding="utf-8", errors="replace")).splitlines()
    return [
        f"… {len(lines) - _MAX_LINES} more lines are in the log …"
        if one is None
        else one[:_MAX_LINE]
        for one in page.ends(lines, _MAX_LINES)
    ]
