"""The words for the outcomes of promises, and the page ``docs/conformance-serving.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.checker.outcome import Outcome
from harness.conformance.page import NOT_RUN, reasons, seen, table
from harness.conformance.results import About, CaseResult, Column, Run, Suite, Word, counts
from harness.conformance.serving.report import repeat

from . import PROMISES

RECORDED = Path(__file__).with_name("recorded")
WORDS = {
    "kept": Word(Outcome.VALID, "kept"),
    "unknown": Word(Outcome.UNKNOWN, "unknown"),
    "BROKEN": Word(Outcome.INVALID, "**broken**"),
}
_GROUPS = {
    "rule": "When a release is loaded",
    "bad": "Bad releases",
    "answers": "Answers",
    "log": "The log",
    "processes": "Processes",
    "growth": "Growth",
}


def recorded() -> list[dict[str, Any]]:
    """Return what was measured elsewhere: name, version, date, and each promise's word."""
    return [json.loads(file.read_text()) for file in sorted(RECORDED.glob("*.json"))]


def page(run: Run) -> str:
    """Return the documentation page of one run: each promise of each server, side by side."""
    past = recorded()
    lines = [
        "# Conformance of servers",
        "",
        "For readers who change a serving binary, or choose one. After this page you know what",
        "clients may rely on while a server reloads, and which server keeps which promise. One run",
        "of the suite makes this page; do not edit it (`make conformance-serving`).",
        "",
        "A cell has one of these words:",
        "",
        "- *kept*: the server kept the promise.",
        "- *broken*: it did not. The end of the page says what was seen.",
        "- *unknown*: the promise was not tried, a tool is missing, or the suite itself failed.",
        "- *–*: the suite did not look.",
        "",
        "To judge any serving binary:",
        "",
        "```sh",
        ".venv/bin/python -m harness conformance serving --serving-bin path/to/serving",
        ".venv/bin/python -m harness conformance serving --only answers,rule/older-second",
        ".venv/bin/python -m harness conformance serving --list   # each promise with its id",
        "```",
        "",
        "[Facts about Paddle Serving 0.9.0](serving-facts.md) answers another question: what the",
        "real server does, good or bad, and whether the embedded engine does the same.",
        "",
        "## The servers",
        "",
    ]
    for one in past:
        lines.append(
            f"- **{one['name']}**, recorded, not run: {one['version']}, {one['date']}. {one['how']}"
        )
    part = f"; only a part: {run.about['part']}" if run.about["part"] else ""
    for column in run.columns:
        said = counts(column.results, WORDS)
        lines.append(
            f"- **{column.name}**, run on {run.about['date']}{part}: "
            f"{len(column.results)} promises: {said}."
        )
    marks = [
        {promise: WORDS[cell["word"]].mark for promise, cell in one["promises"].items()}
        for one in past
    ]
    marks += [{one.id: WORDS[one.word].mark for one in c.results} for c in run.columns]
    names = [f"{one['name']} (recorded)" for one in past] + [c.name for c in run.columns]
    for group, title in _GROUPS.items():
        rows = [
            [
                f"`{one.id}` {_escaped(one.sentence)}",
                _escaped(one.loss),
                *(mark.get(one.id, NOT_RUN) for mark in marks),
            ]
            for one in PROMISES
            if one.id.startswith(f"{group}/")
        ]
        head = ["promise", "what a user loses when it fails", *names]
        lines += ["", f"## {title}", "", *table(head, rows)]
    for one in past:
        cells = [
            (f"`{promise}`", cell["word"], _escaped(cell["seen"]))
            for promise, cell in one["promises"].items()
            if cell["word"] != "kept"
        ]
        lines += ["", f"## Why: {one['name']} (recorded)", ""]
        lines += table(["promise", "result", "what was seen"], cells)
    for column in run.columns:
        why = [(f"`{one.id}`", one.word, seen(one)) for one in column.results if one.word != "kept"]
        lines += reasons(column, ["promise", "result", "what was seen"], why)
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("__", "\\_\\_")


def _sections() -> dict[str, list[About]]:
    return {
        title: [
            About(one.id, one.sentence, one.loss)
            for one in PROMISES
            if one.id.startswith(f"{group}/")
        ]
        for group, title in _GROUPS.items()
    }


def _recorded_columns() -> list[Column]:
    return [
        Column(
            {
                "name": f"{one['name']} (recorded)",
                "note": f"Not run: {one['version']}, {one['date']}. {one['how']}",
            },
            [
                CaseResult(id_, cell["word"], WORDS[cell["word"]].outcome, (cell["seen"],))
                for id_, cell in one["promises"].items()
            ],
        )
        for one in recorded()
    ]


SUITE = Suite(
    *("Conformance of servers", "binaries", WORDS, page, _sections, repeat),
    recorded=_recorded_columns,
)
