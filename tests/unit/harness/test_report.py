"""The report of a run: the table's cells are the history's times, the JUnit file its claims."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from harness.report import rows, verdict_line, write_report
from harness.run_folder import new_run_folder
from harness.verdict import judge

from .test_verdict import CLIENTS, Story


def test_a_row_gives_each_release_its_times() -> None:
    story = Story()
    events = story.events()
    pull = {"event": "monitor_log", "t": 4.1, "remote": "ftp", "line": "… pull remote model(x)."}
    _, second, third = rows([*events, pull])
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
    assert [row.failed for row in rows(story.events())] == [0, 1, 0]


def test_the_files_say_what_the_verdict_says(tmp_path: Path) -> None:
    story = Story()
    story.servers[1]["identity"] = "8@2"
    events = story.events()
    verdict = judge(events)
    write_report(tmp_path, rows(events), verdict, {"serving binary": "embedded"})
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "invalid"
    assert verdict_line(verdict) in (tmp_path / "report.md").read_text()
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("11", "1", "0")
    (failure,) = suite.iter("failure")
    assert "7@1" in (failure.get("message") or "")


def test_each_run_has_a_folder_and_latest_points_at_the_newest(tmp_path: Path) -> None:
    first = new_run_folder(tmp_path / "runs", 1)
    second = new_run_folder(tmp_path / "runs", 1)
    assert first != second
    assert (tmp_path / "runs" / "latest").resolve() == second.resolve()
