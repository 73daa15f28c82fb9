"""The report of a run: the table's cells are the history's times, the JUnit file its claims."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.checker.outcome import Outcome
from harness.checker.run_history import sort
from harness.checker.verdict import judge
from harness.report.files import write_report
from harness.report.html.facts import facts
from harness.report.summary import print_report, rows, verdict_line
from harness.run.e2e import RunSettings, _finish
from harness.serving.binary import ServingBinary
from harness.support.run_folder import new_run_folder, point_latest_at
from tests.unit.harness.checker.test_verdict import CLIENTS, Story


def test_a_row_gives_each_release_its_times() -> None:
    story = Story()
    events = story.events()
    pull = {"event": "monitor_log", "t": 4.1, "remote": "ftp", "line": "… pull remote model(x)."}
    _, second, third = rows(sort([*events, pull]))
    assert (second.remote, second.release, second.published) == ("ftp", 2, 4.0)
    assert (second.pulled, second.swapped, second.reloaded) == (0.1, 0.2, 0.6)
    assert second.first_served == dict.fromkeys(CLIENTS, 0.7)
    assert third.pulled is None
    assert second.failed == 0
    # From the end of one publishing to the next: 2 s, three clients, a request each 0.1 s.
    assert second.sent == 60


def test_failed_requests_are_counted_where_they_happened() -> None:
    story = Story()
    request = next(p for p in story.predictions if p["sent"] > 4.5)
    del request["value"]
    request["error"] = "refused"
    assert [row.failed for row in rows(sort(story.events()))] == [0, 1, 0]


def test_the_files_say_what_the_verdict_says(tmp_path: Path) -> None:
    story = Story()
    story.servers[1]["identity"] = "8@2"
    events = story.events()
    verdict = judge(events)
    write_report(tmp_path, facts(events, verdict), verdict, {"serving binary": "embedded"})
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "invalid"
    assert "1 of 11 claims do not hold: same server." in (tmp_path / "report.md").read_text()
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("11", "1", "0")
    (failure,) = suite.iter("failure")
    assert "7@1" in (failure.get("message") or "")


def test_a_report_that_cannot_be_written_leaves_the_verdict(tmp_path: Path) -> None:
    lines = [json.dumps(event) + "\n" for event in Story().events()]
    (tmp_path / "history.jsonl").write_text("".join(lines))
    (tmp_path / "report.json").mkdir()
    binary = ServingBinary("embedded", tmp_path / "serving", "1", "asked for")
    printed = io.StringIO()
    console = Console(file=printed, width=140)
    verdict, why = _finish(RunSettings(), tmp_path, binary=binary, console=console, begin=0.0)
    assert verdict.outcome is Outcome.VALID
    place = tmp_path / "report.json"
    assert f"the report cannot be written: Is a directory: {place}; mend that" in str(why)
    assert "VALID: all 11 claims hold." in printed.getvalue()


def test_what_cannot_be_judged_is_told_apart_from_what_does_not_hold() -> None:
    story = Story()
    story.predictions[0]["error"] = "refused"
    cut = {"event": "cut_short", "t": 9.0, "remote": "ftp", "why": "the monitor ended"}
    invalid = verdict_line(judge([*story.events(), cut]))
    head, *lines = invalid.splitlines()
    assert head == "INVALID: 1 of 11 claims do not hold, 10 cannot be judged:"
    assert lines[0].startswith("  ftp: no request failed: 1 of 180 requests failed")
    # One reason stands once, with all the claims that it is the reason for.
    assert len(lines) == 3
    assert lines[2].endswith("all clients agree (the leg was cut short: the monitor ended)")
    unknown = verdict_line(judge([*Story().events(), cut]))
    assert unknown.startswith("UNKNOWN: 11 of 11 claims cannot be judged:")
    assert "do not hold" not in unknown


def test_a_long_reason_ends_at_a_word_and_says_that_more_follows() -> None:
    cut = {"event": "cut_short", "t": 9.0, "remote": "ftp", "why": "the monitor ended " * 20}
    line = verdict_line(judge([*Story().events(), cut])).splitlines()[1]
    assert re.search(r" (the|monitor|ended) …\)$", line), line


def test_a_claim_that_need_not_be_known_is_named_and_skipped(tmp_path: Path) -> None:
    story = Story()
    story.settings.update(unseen=["server log"], required=["same server"])
    verdict = judge(story.events())
    assert verdict_line(verdict).splitlines() == [
        "VALID: all 10 claims hold.",
        "  ftp: not judged: reload in the log (the run could not see: server log)",
    ]
    write_report(tmp_path, facts(story.events(), verdict), verdict, {})
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("errors"), suite.get("skipped")) == ("0", "1")


@pytest.mark.parametrize("width", [40, 77, 78])
def test_no_figure_is_cut_on_a_narrow_terminal(width: int) -> None:
    printed = io.StringIO()
    table = rows(sort(Story().events()))
    print_report(Console(file=printed, width=width), table, judge(Story().events()), "x" * 50)
    text = printed.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for figure in ("+0.20", "+0.60", "+0.70", "60"):
        assert figure in text
    assert ("ftp release 2" in text) == (width < 78)


def test_each_run_has_a_folder_and_latest_points_at_the_newest(tmp_path: Path) -> None:
    first = new_run_folder(tmp_path / "runs", 1)
    second = new_run_folder(tmp_path / "runs", 1)
    for folder in (first, second):
        point_latest_at(folder)
    assert first != second
    assert (tmp_path / "runs" / "latest").resolve() == second.resolve()
