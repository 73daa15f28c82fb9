"""The results of a suite's run: one for each case of each column.

Both suites share this. A column is one implementation under test: a monitor, or a serving binary.
Values in, values or text out: JUnit XML, and JSON from which the pages can be made again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from harness.checker.outcome import Claim, Outcome
from harness.checker.verdict import Verdict
from harness.report import junit
from harness.report.badge import badge

_FORMAT = 2


@dataclass(frozen=True)
class Word:
    """A suite's word for a result: which outcome it is, and how a page shows it."""

    # The outcome of a case with this word.
    outcome: Outcome
    # The word in a page's table.
    mark: str


@dataclass(frozen=True)
class About:
    """What a suite says of a case, whatever its result."""

    # The case's id, or the part behind the slash if several groups have the case.
    key: str
    # What the case does, or what it promises.
    title: str
    # What a user loses when it fails; empty if the suite does not say.
    loss: str = ""

    def is_of(self, result: CaseResult) -> bool:
        """Return whether the result is one of this case."""
        return self.key in (result.id, result.name)


@dataclass(frozen=True)
class Suite:
    """How a suite writes its runs down."""

    # What its pages are called.
    title: str

    # The key of the columns in the JSON file, such as ``monitors``.
    columns: str
    # The words of its cases, by the word.
    words: Mapping[str, Word]
    # The documentation page of a run.
    page: Callable[[Run], str]
    # The cases under the headings of the page.
    sections: Callable[[], Mapping[str, Sequence[About]]]
    # The command that repeats one case of a column.
    repeat: Callable[[Column, CaseResult], str]
    # What a row of the JSON file has in addition to what all suites write.
    row: Callable[[CaseResult], dict[str, Any]] = lambda _: {}
    # The sentence of a claim, by its name; empty if there is none.
    claim: Callable[[str], str] = lambda _: ""
    # Columns that were measured elsewhere.
    recorded: Callable[[], Sequence[Column]] = tuple


@dataclass(frozen=True)
class CaseResult:
    """The result of one case."""

    # ``group/name``, unique in its column.
    id: str
    # One of the suite's words.
    word: str
    # The outcome of the word.
    outcome: Outcome
    # What was seen, empty if there is nothing to say.
    reasons: tuple[str, ...] = ()
    # Why a difference is expected, or how it is better.
    known: str = ""
    # How long the case took.
    seconds: float = 0.0
    # What the case counted, for a reader of the page.
    facts: tuple[tuple[str, str], ...] = ()
    # Each claim that was judged.
    claims: tuple[Claim, ...] = ()
    # The command line of what was under test; empty if the suite did not note it.
    command: str = ""
    # The folder of the logs, relative to the run's folder; empty if there are none.
    folder: str = ""

    @property
    def group(self) -> str:
        """Return the part of the id before the slash."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """Return the part of the id behind the slash."""
        return self.id.partition("/")[2]

    @property
    def evidence(self) -> str:
        """Return the reasons in one line."""
        return "; ".join(self.reasons)

    @property
    def is_known_failure(self) -> bool:
        """Return whether the case failed as expected."""
        return self.outcome is Outcome.VALID and bool(self.known and self.reasons)


@dataclass(frozen=True)
class Column:
    """One implementation under test. ``about`` has its ``name`` and what its suite says of it."""

    about: Mapping[str, Any]
    # Its cases.
    results: Sequence[CaseResult]

    @property
    def name(self) -> str:
        """Return what the column is called."""
        return str(self.about["name"])


@dataclass(frozen=True)
class Run:
    """One run. ``about`` has ``date``, ``seconds``, ``part`` and what its suite adds."""

    about: Mapping[str, Any]
    # The implementations under test.
    columns: Sequence[Column]

    @property
    def results(self) -> list[CaseResult]:
        """Return the results of all columns."""
        return [result for column in self.columns for result in column.results]


def verdict(results: Iterable[CaseResult]) -> Verdict:
    """Return the verdict: each case is a claim. A run of nothing is unknown."""
    return Verdict(tuple(Claim(one.group, one.name, one.outcome, one.evidence) for one in results))


def counts(results: Sequence[CaseResult], words: Mapping[str, Word]) -> str:
    """Return how often each word was said, in the suite's order of the words."""
    found = Counter(result.word for result in results)
    return ", ".join(f"{found[word]} {word}" for word in words if found[word])


def as_json(run: Run, suite: Suite) -> str:
    """Return a run as JSON."""
    columns = [
        {**column.about, "results": [{**_row(one), **suite.row(one)} for one in column.results]}
        for column in run.columns
    ]
    content = {"format": _FORMAT, **run.about, suite.columns: columns}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, suite: Suite) -> Run:
    """Return the run that ``as_json`` wrote.

    Raises:
        ValueError: The text is something else.
    """
    try:
        content = json.loads(text)
        if content.pop("format") != _FORMAT:
            raise ValueError(f"the format of the results is not {_FORMAT}")
        found = [
            Column(column, [_result(row, suite) for row in column.pop("results")])
            for column in content.pop(suite.columns)
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no results of this suite: {type(error).__name__}: {error}") from None
    return Run(content, found)


def _row(result: CaseResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "outcome": result.word,
        "reasons": list(result.reasons),
        "expected": result.known or None,
        "seconds": round(result.seconds, 2),
        "facts": dict(result.facts),
        "claims": [[one.name, one.outcome.value, one.why] for one in result.claims],
        "command": result.command,
        "folder": result.folder,
    }


def _result(row: Mapping[str, Any], suite: Suite) -> CaseResult:
    return CaseResult(
        # Older files of the monitor suite have only the parts of the id.
        row.get("id") or f"{row['remote']}/{row['scenario']}",
        row["outcome"],
        suite.words[row["outcome"]].outcome,
        tuple(row["reasons"]),
        row["expected"] or "",
        row["seconds"],
        tuple(row["facts"].items()),
        # Older files have none of these.
        tuple(Claim("", name, Outcome(said), why) for name, said, why in row.get("claims", ())),
        row.get("command", ""),
        row.get("folder", ""),
    )


def junit_xml(run: Run) -> str:
    """Return JUnit XML: a test suite for each column; a known failure is skipped, with a reason."""
    return junit.text(
        junit.several(
            junit.suite(f"conformance of {column.name}", [_case(one) for one in column.results])
            for column in run.columns
        )
    )


def badges(run: Run) -> dict[str, str]:
    """Return the badge of each column, by the column's name."""
    return {
        column.name: badge(
            "conformance",
            verdict(column.results),
            column.name,
            skipped=sum(one.is_known_failure for one in column.results),
            part=run.about["part"],
        )
        for column in run.columns
    }


def _case(result: CaseResult) -> junit.Case:
    known = result.is_known_failure
    return junit.Case(
        f"conformance.{result.group}",
        result.name,
        result.outcome,
        result.known if known else result.evidence or result.word,
        skipped=known,
        seconds=result.seconds,
    )
