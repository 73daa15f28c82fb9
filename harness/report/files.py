"""Writes the files of a report into a run's folder: for people, for programs, for a forge."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.checker.verdict import Verdict

from . import junit, latency, rollout

if TYPE_CHECKING:
    from .html.facts import Report

# GitHub shows on a run's page what a step appends to the file with this name.
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


def write_pages(folder: Path, report: Report) -> None:
    """Write ``report.html``, ``report.svg`` and ``report.md``."""
    # At a run's end: the templates take long to import.
    from .html import page

    (folder / "report.html").write_text(page.html(report), encoding="utf-8")
    (folder / "report.svg").write_text(page.svg(report), encoding="utf-8")
    found = rollout.rollouts(report.rows)
    text = "\n".join([page.markdown(report).rstrip("\n"), *rollout.markdown(found)]) + "\n"
    (folder / "report.md").write_text(text, encoding="utf-8")


def append_summary(folder: Path) -> None:
    """Append ``report.md`` of a run to the step summary of GitHub, if there is one."""
    summary = os.environ.get(STEP_SUMMARY)
    if summary:
        text = (folder / "report.md").read_text(encoding="utf-8")
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def write_report(folder: Path, report: Report, verdict: Verdict, facts: Mapping[str, str]) -> None:
    """Write the pages, ``report.json``, ``junit.xml`` and the histograms.

    Args:
        folder: The run's folder.
        report: The facts of the run.
        verdict: The verdict on the run.
        facts: What the JSON report says of the run: the serving binary, the seed, durations.
    """
    write_pages(folder, report)
    latencies = [one for leg in report.legs for one in leg.latencies]
    content = {
        "facts": dict(facts),
        "verdict": verdict.outcome.value,
        "rows": [asdict(row) for row in report.rows],
        "latency": [row.as_json() for row in latencies],
        "claims": [
            {
                "remote": claim.remote,
                "name": claim.name,
                "outcome": claim.outcome.value,
                "required": claim.required,
                "why": claim.why,
                "records": list(claim.records),
            }
            for claim in verdict.claims
        ],
    }
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n")
    cases = [
        junit.Case(
            claim.remote,
            claim.name,
            claim.outcome,
            claim.why,
            skipped=claim in verdict.left_out,
        )
        for claim in verdict.claims
    ]
    xml = junit.text(junit.suite("hot loading", cases))
    (folder / "junit.xml").write_text(xml, encoding="utf-8")
    latency.write_histograms(folder, latencies)
