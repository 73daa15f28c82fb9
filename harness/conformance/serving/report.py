"""The suite's words, and its page ``docs/serving-facts.md``."""

from __future__ import annotations

import shlex

from harness.checker.outcome import Outcome
from harness.conformance.page import NOT_RUN, reasons, seen, table
from harness.conformance.results import About, CaseResult, Column, Run, Suite, Word, counts

from .facts import FACTS

WORDS = {
    "better": Word(Outcome.VALID, "better"),
    "same": Word(Outcome.VALID, "same"),
    "unknown": Word(Outcome.UNKNOWN, "unknown"),
    "DIFFERS": Word(Outcome.INVALID, "**differs**"),
}
_GROUPS = {
    "cli": "Command line",
    "start": "Start",
    "end": "End",
    "http": "HTTP/1",
    "http2": "HTTP/2",
    "grpc": "gRPC",
    "baidu-std": "baidu_std",
    "clients": "Clients",
    "requests": "Bad requests",
    "log": "Log files",
    "reload": "Reloads",
}


def page(run: Run) -> str:
    """Return the documentation page of one run: each fact on each binary, side by side."""
    lines = [
        "# Facts about Paddle Serving 0.9.0",
        "",
        "For engineers who change a serving binary. After this page you know how the real server",
        "behaves, and in which facts the embedded engine differs. One run of the suite makes this",
        "page; do not edit it (`make conformance-serving`).",
        "",
        "Each fact was measured on the real Paddle Serving 0.9.0. A cell has one of these words:",
        "",
        "- *same*: the binary does the same.",
        "- *better*: the binary does something better, which the last section names.",
        "- *unknown*: a tool that the check needs is missing here.",
        "- *–*: the suite did not look at the fact.",
        "",
        "To judge any serving binary:",
        "",
        "```sh",
        ".venv/bin/python -m harness conformance serving --facts --serving-bin path/to/serving",
        ".venv/bin/python -m harness conformance serving --facts --only reload,http/no-body",
        ".venv/bin/python -m harness conformance serving --facts --list   # each fact with its id",
        "```",
        "",
        "## The binaries",
        "",
        f"One run on {run.about['date']}, {run.about['seconds'] / 60:.0f} minutes"
        f"{'; only a part: ' + run.about['part'] if run.about['part'] else ''}.",
        "",
    ]
    for column in run.columns:
        said = counts(column.results, WORDS)
        lines.append(f"- **{column.name}**: {len(column.results)} facts: {said}.")
    marks = [{one.id: WORDS[one.word].mark for one in c.results} for c in run.columns]
    for group, title in _GROUPS.items():
        rows = [
            [f"`{fact.id}` {_escaped(fact.sentence)}", *(m.get(fact.id, NOT_RUN) for m in marks)]
            for fact in FACTS
            if fact.id.startswith(f"{group}/")
        ]
        lines += ["", f"## {title}", "", *table(["fact", *(c.name for c in run.columns)], rows)]
    for column in run.columns:
        why = [
            (f"`{one.id}`", one.word, _escaped(one.known) or seen(one))
            for one in column.results
            if one.word != "same"
        ]
        lines += reasons(column, ["fact", "result", "how it differs"], why)
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("__", "\\_\\_")


def _sections() -> dict[str, list[About]]:
    return {
        title: [About(one.id, one.sentence) for one in FACTS if one.id.startswith(f"{group}/")]
        for group, title in _GROUPS.items()
    }


def repeat(column: Column, result: CaseResult, *options: str) -> str:
    """Return the command that looks at one case of a serving binary again."""
    words = [*options, "--serving-bin", column.about.get("command") or column.about["binary"]]
    words += ["--only", result.id]
    return f".venv/bin/python -m harness conformance serving {shlex.join(words)}"


SUITE = Suite(
    *("Facts about Paddle Serving 0.9.0", "binaries", WORDS, page, _sections),
    lambda column, result: repeat(column, result, "--facts"),
)
