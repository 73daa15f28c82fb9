"""The latency part of a report tells no quantile that has too few samples beyond it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from harness.checker.verdict import judge
from harness.report.files import write_report
from harness.report.html.facts import facts
from harness.report.latency import Measured, percentiles
from tests.unit.harness.checker.test_verdict import Story

MILLISECONDS = numpy.arange(1, 1001) / 1000


def test_a_histogram_ends_at_the_last_percentile_that_is_told() -> None:
    lines = [line.split() for line in percentiles(MILLISECONDS).splitlines()]
    told = [words for words in lines if words and words[0][0].isdigit()]
    assert all(1000 * (1 - float(words[1])) >= 10 for words in told)
    for value, share, *_ in told:
        # In microseconds, with three digits.
        assert float(value) == pytest.approx(max(1.0, 1000 * float(share)) * 1000, rel=3e-3)
    assert float(told[-1][1]) > 0.985
    assert lines[-2][-1] == "1000.000]"


def test_the_table_has_the_number_of_samples_beside_each_quantile(tmp_path: Path) -> None:
    few = Measured("ftp", "http", "latency-swap", MILLISECONDS[:99])
    many = Measured("ftp", "http", "latency-outside", MILLISECONDS)
    events = Story().events()
    verdict = judge(events)
    report = facts(events, verdict)
    report = replace(report, legs=(replace(report.legs[0], latencies=(few, many)),))

    write_report(tmp_path, report, verdict, {})

    table = (tmp_path / "report.md").read_text()
    assert "| ftp | http | latency-swap | 99 | 50.00 | – | – | – |" in table
    assert "| ftp | http | latency-outside | 1000 | 500.50 | 900.10 | 990.01 | – |" in table
    first, second = json.loads((tmp_path / "report.json").read_text())["latency"]
    assert first["samples"] == 99
    assert first["quantiles_ms"]["p90"] is None
    assert second["quantiles_ms"]["p99"] == 990.01
    for row in (few, many):
        written = (tmp_path / "ftp" / f"{row.name}-http.hgrm").read_text()
        assert written == percentiles(row.seconds)
