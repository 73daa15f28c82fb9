"""The facts of a report are those of the history: lanes, failures, claims and their evidence."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy
import pytest

from harness.checker.claims import CLAIMS
from harness.checker.outcome import Outcome
from harness.report.html import charts, page
from harness.report.html.facts import MAX_RELOADS
from harness.report.html.lanes import FAILURE, MAX_SPANS
from tests.unit.harness.checker.test_servers import together
from tests.unit.harness.checker.test_verdict import CLIENTS, Story

from .runs import reported, whole_story


def test_there_is_a_lane_for_each_part_and_each_client() -> None:
    (leg,) = reported(whole_story()).legs
    names = ["producer", "remote: ftp", "monitor", "live directory", "server"]
    assert [lane.name for lane in leg.lanes] == [*names, *CLIENTS]
    for lane in leg.lanes:
        assert [span.release for span in lane.spans] == [1, 2, 3], lane.name
    http = leg.lanes[-1]
    # Release 2 answers from 4.7 s to 6.6 s.
    assert (round(http.spans[1].begin, 1), round(http.spans[1].end, 1)) == (4.7, 6.6)
    assert http.spans[1].text == "20 answers of release 2"


def test_a_failed_request_is_a_mark_in_its_clients_lane() -> None:
    story = Story()
    request = next(p for p in story.answers("http") if p["sent"] > 4.5)
    del request["value"]
    request["error"] = "refused"
    report = reported(story.events())
    marks = {lane.name: lane.marks for lane in report.legs[0].lanes}
    (mark,) = (mark for mark in marks["http"] if mark.kind == FAILURE)
    assert mark.t == pytest.approx(request["answered"])
    assert not any(mark.kind == FAILURE for mark in marks["brpc"])
    assert (report.requests, report.failed) == (180, 1)


def test_a_broken_claim_has_its_records_and_the_lines_around_them() -> None:
    story = Story()
    request = next(p for p in story.answers("http") if p["sent"] > 4.5)
    del request["value"]
    request["error"] = "refused"
    lines = [
        {"event": "monitor_log", "t": request["answered"] - 0.1, "remote": "ftp", "line": "near"},
        {"event": "monitor_log", "t": 8.9, "remote": "ftp", "line": "far"},
    ]
    report = reported([*story.events(), *lines])
    (claim,) = report.broken
    assert claim.sentence == "Every request got an answer, and got it in time."
    assert claim.looked_at == "180 requests of 3 clients over 5.9 s"
    assert ("error", "refused") in claim.records[0]
    said = [line.text for line in claim.excerpts[0].lines]
    assert "near" in said
    assert "far" not in said
    assert report.sentence == "1 of 11 claims do not hold: no request failed."


def test_every_claim_says_what_it_looked_at() -> None:
    story = Story()
    story.settings["claims"] = list(CLAIMS)
    for claim in reported(story.events()).legs[0].claims:
        assert claim.looked_at, claim.name
        assert claim.sentence.endswith(".")


@pytest.mark.parametrize("schema", [1, 2])
def test_an_older_history_is_readable(schema: int) -> None:
    events = Story().events()
    events[0]["schema"] = schema
    report = reported(events)
    assert report.outcome is Outcome.VALID
    assert report.command == ".venv/bin/python -m harness run page --remotes ftp"
    assert report.command_is_made
    assert not report.machine


def test_the_newest_schema_has_command_machine_and_versions() -> None:
    events = whole_story()
    events[0].update(
        command=["python", "-m", "harness", "run", "page", "--remote", "ftp://me:hush@host/"],
        machine={"cpu": "a chip", "memory_bytes": 8_000_000_000},
        versions={"numpy": "1.26.4"},
    )
    report = reported(events)
    assert not report.command_is_made
    assert "hush" not in report.command
    assert ("memory", "8.0 GB") in report.machine
    assert report.versions == (("numpy", "1.26.4"),)


@pytest.mark.parametrize("count", range(0, 200, 10))
def test_a_history_that_ends_anywhere_gives_a_report(count: int) -> None:
    report = reported(sorted(whole_story(), key=lambda event: float(event["t"]))[:count])
    assert report.outcome is Outcome.UNKNOWN
    for text in (page.html(report), page.svg(report), page.markdown(report)):
        assert "UNKNOWN" in text


def test_a_leg_with_answers_and_no_settings_gives_a_report() -> None:
    events = whole_story()
    misspelt = [{**event, "remote": "fpt"} for event in events if event["event"] == "prediction"]
    report = reported([*events, *misspelt])
    assert report.outcome is Outcome.UNKNOWN
    assert [leg.remote for leg in report.legs] == ["ftp", "fpt"]
    for text in (page.html(report), page.svg(report), page.markdown(report)):
        assert "UNKNOWN" in text


@pytest.mark.parametrize("kind", ["settings", "published", "server"])
def test_a_history_without_events_of_a_kind_gives_a_report(kind: str) -> None:
    report = reported([event for event in whole_story() if event["event"] != kind])
    assert "UNKNOWN" in page.html(report)


def test_a_time_that_is_no_number_breaks_no_report() -> None:
    story = Story()
    story.swapped[1]["t"] = math.inf
    assert reported(story.events()).outcome is Outcome.UNKNOWN


def test_a_lane_with_many_changes_stays_small_and_hides_no_long_time() -> None:
    story = Story()
    story.predictions = [
        {
            **{"event": "prediction", "t": t, "remote": "ftp", "client": "http", "n": n},
            **{"sent": t, "answered": t + 0.001, "value": [20.0 + n % 2]},
        }
        for n, t in ((n, 3 + n / 1000) for n in range(5000))
    ]
    values: Any = {1: 20.0, 2: 21.0}
    for release in story.published[:2]:
        release["expected"] = [values[release["release"]]]
    lane = reported(story.events()).legs[0].lanes[-1]
    assert len(lane.spans) <= 2 * MAX_SPANS
    assert lane.spans[-1].end == pytest.approx(7.999 + 0.001, abs=0.01)
    assert sum(span.changes for span in lane.spans) == 5000


def test_points_are_reduced_to_the_fastest_and_slowest_of_each_slice() -> None:
    t = numpy.arange(100_000) / 100
    values = numpy.sin(t) + 2
    values[54_321] = 99.0
    kept = charts.reduced(t, values, charts.MAX_POINTS)
    assert len(kept) <= charts.MAX_POINTS
    assert 54_321 in kept
    assert list(kept) == sorted(kept)


def test_of_many_reloads_the_first_and_last_have_their_logs() -> None:
    story = Story()
    story.reloads = [
        {**story.reloads[0], "t": 2.6 + 0.1 * number} for number in range(3 * MAX_RELOADS)
    ]
    logs = reported(story.events()).legs[0].logs
    assert len(logs) == MAX_RELOADS
    assert logs[0].t < logs[-1].t == pytest.approx(2.6 + 0.1 * (3 * MAX_RELOADS - 1))


def test_lines_that_differ_only_in_numbers_are_folded() -> None:
    lines = [
        {"event": "server_log", "t": 4.61, "remote": "ftp", "line": f"E thread {n} switches"}
        for n in range(9)
    ]
    excerpt = reported([*Story().events(), *lines]).legs[0].logs[0]
    assert [line.text for line in excerpt.lines if "thread" in line.text] == [
        "E thread 0 switches (and 8 more lines like this)"
    ]


def test_an_outage_that_never_ended_has_a_shade_until_the_end_of_the_leg() -> None:
    begun = {"remote": "ftp", "since": 6.0, "why": "the fault kill of server", "requests": True}
    report = reported([*whole_story(), {"event": "outage_begins", "t": 6.0, **begun}])
    (leg,) = report.legs
    (shade,) = leg.shades
    assert (shade.begin, shade.end) == (6.0, leg.end)
    figures = re.findall(r'<script type="application/json".*?>(.*?)</script>', page.html(report))
    assert len(figures) == 4
    for figure in figures:
        # ``JSON.parse`` of a browser refuses such a number.
        json.loads(figure, parse_constant=pytest.fail)


def test_a_fault_that_is_an_outage_has_one_shade() -> None:
    times = {"t": 4.6, "remote": "ftp", "since": 4.1, "until": 4.6}
    fault = {"event": "fault", "fault": "kill", "target": "server", **times}
    outages = [
        {"event": "outage", "why": why, "requests": True, **times}
        for why in ("the fault kill of server", "the server restarts")
    ]
    (leg,) = reported([*Story().events(), fault, *outages]).legs
    texts = [shade.text for shade in leg.shades]
    assert texts == ["fault kill of server", "outage: the server restarts"]


def test_each_of_several_servers_has_its_own_logs_and_the_faults_of_the_remote() -> None:
    line = {"event": "monitor_log", "t": 4.5, "remote": "ftp", "line": "only the second one"}
    fault = {"event": "fault", "t": 4.6, "remote": "ftp", "fault": "refuse", "target": "remote"}
    own = [{**line, "server": "2"}, {**fault, "since": 4.1, "until": 4.6}]
    first, second = reported([*together(Story(), Story()), *own]).legs
    for leg in (first, second):
        said = {line.text for excerpt in leg.logs for line in excerpt.lines}
        assert {"W… begin reload model[uci_housing_model].", "release 2 is published"} <= said
        assert ("only the second one" in said) == (leg is second)
        assert [shade.text for shade in leg.shades] == ["fault refuse of remote"]
        assert leg.end == pytest.approx(9.1)
