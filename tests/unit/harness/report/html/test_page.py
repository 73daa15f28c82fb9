"""The page is whole, small, and safe; the SVG and the Markdown say the same."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.checker import events as long_run
from harness.__main__ import main
from harness.checker.history import History, read
from harness.report.files import STEP_SUMMARY, append_summary, write_pages
from harness.report.html import page
from tests.unit.harness.checker.test_servers import late, together
from tests.unit.harness.checker.test_verdict import Story
from tests.unit.harness.cli.test_check import write

from .runs import reported, whole_story

EVIL = '</script><script>alert(1)</script><img src=x onerror=alert(2)> | `x` ]]> & "quoted"'


def test_the_main_facts_need_no_script() -> None:
    text = page.html(reported(whole_story()))
    plain = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    for fact in (
        *("✔ VALID", "All 11 claims hold", "180 requests", "python -m harness run page"),
        *("swapped → tick", "Every request got an answer", "begin reload model"),
    ):
        assert fact in plain, fact


def test_a_run_with_several_servers_shows_the_spread_of_each_roll_out() -> None:
    assert "Roll-out" not in page.html(reported(whole_story()))
    report = reported(together(Story(), late(Story())))
    part = page.html(report).partition("Roll-out over the servers")[2].partition("</table>")[0]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", part)[1:]]
    plain = [[re.sub(r"<.*?>", "", cell).strip() for cell in row] for row in rows]
    assert [row[:3] for row in plain] == [["ftp", "2", "2 of 2"], ["ftp", "3", "2 of 2"]]
    first, median, last = map(float, plain[0][3:])
    assert first < median < last, "the second server is late"
    assert plain[1][3] == plain[1][5]


def test_what_others_wrote_is_text_and_never_code() -> None:
    events = whole_story()
    request = next(event for event in events if "value" in event and event["t"] > 4.5)
    del request["value"]
    request["error"] = EVIL
    logs = [
        {"event": "monitor_log", "t": request["answered"], "remote": "ftp", "line": EVIL},
        {"event": "fault", "t": 5.0, "remote": "ftp", "fault": EVIL, "target": EVIL}
        | {"since": 4.0, "until": 5.0},
    ]
    events += logs
    events[0].update(scenario=EVIL, serving=EVIL, machine={EVIL: EVIL}, utc=EVIL)
    report = reported(events)
    text = page.html(report)
    # Two scripts and the data of four charts.
    assert text.count("<script") == text.count("</script>") == 6
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(2)&gt;" in text
    svg = ElementTree.fromstring(page.svg(report))
    assert svg.tag.endswith("svg")
    # A block of code is text, too.
    summary = re.sub(r"^```.*?^```$", "", page.markdown(report), flags=re.M | re.S)
    assert "<script" not in summary
    assert "<img" not in summary


def test_a_secret_is_on_no_page() -> None:
    line = {"event": "monitor_log", "t": 4.5, "remote": "ftp", "line": "GET ftp://me:hush@host/x"}
    story = Story()
    story.settings["monitor_command"] = ["monitor", "--ftp_password", "hush"]
    report = reported([*story.events(), line])
    for text in (page.html(report), page.svg(report), page.markdown(report)):
        assert "hush" not in text
    assert "ftp://***@host/x" in page.html(report)


def test_a_long_soak_has_a_small_page_and_a_summary_that_fits_a_comment() -> None:
    events = list(long_run(20_000, 480))
    lines = [
        {**event, "line": f"a line of a log, {word} {'x' * 80}"}
        for event in events
        if event["event"] == "server_log"
        for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    ]
    report = reported([*events, *lines])
    assert len(page.html(report).encode()) < 3_000_000
    text = page.markdown(report)
    assert len(text) <= page.MAX_MARKDOWN
    assert text.startswith("## ")


def test_a_run_on_github_has_its_summary_on_the_page_of_the_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv(STEP_SUMMARY, str(summary))
    write_pages(tmp_path, reported(whole_story()))
    assert summary.read_text() == "before\n"
    append_summary(tmp_path)
    assert summary.read_text() == f"before\n{(tmp_path / 'report.md').read_text()}\n"


def test_the_command_makes_the_pages_of_a_run_folder_a_file_and_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    history = History(run / "history.jsonl")
    for event in whole_story():
        fields = {name: value for name, value in event.items() if name != "event"}
        history.record(event["event"], **fields)
    history.close()
    assert list(read(history.path)) == whole_story()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    assert main(["report", str(run)]) == 0
    assert main(["report", str(run / "history.jsonl"), "--output", "one"]) == 0
    assert main(["bundle", str(run), "--output", "run.tar.zst"]) == 0
    assert main(["report", "run.tar.zst"]) == 0

    made = (run / "report.html").read_text()
    assert (elsewhere / "one" / "report.html").read_text() == made
    assert (elsewhere / "report.html").read_text() == made
    assert "VALID: All 11 claims hold" in capsys.readouterr().out


def test_a_file_that_is_no_history_gives_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert main(["report", str(tmp_path / "empty.jsonl")]) == 2
    assert main(["report", str(tmp_path / "none.jsonl")]) == 2
    assert main(["report", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("harness: ") for line in lines)


@pytest.mark.parametrize(
    ("lacking", "why"), [({"t": "noon"}, "ValueError: could not"), ({}, "KeyError: 'digest'")]
)
def test_an_event_that_cannot_be_read_gives_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lacking: dict[str, str], why: str
) -> None:
    story = Story()
    story.swapped[1] = {"event": "swapped", "t": 4.2, "remote": "ftp", **lacking}
    history = write(tmp_path / "history.jsonl", story.events())
    assert main(["report", str(history)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"harness: {history} has an event that cannot be read: {why}")
