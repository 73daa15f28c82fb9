"""What a run's results mean: expectations with evidence, exit codes, reports, monitors' files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.checker.outcome import Outcome
from harness.conformance.monitor import cli, report
from harness.conformance.monitor.judge import one_claim
from harness.conformance.monitor.lanes import Queue, Task, most_work
from harness.conformance.monitor.monitors import read_monitor
from harness.conformance.monitor.results import Expected, Result, against
from harness.conformance.monitor.scenarios import all_scenarios
from harness.conformance.monitor.settings import Settings
from harness.conformance.monitor.suite import Done, throughout
from harness.conformance.results import Column, Run, as_json, from_json, junit_xml, verdict
from harness.support.errors import BadInput
from harness.support.waits import wait_for

NAMES = [scenario.name for scenario in all_scenarios()]
MONITORS = Path(cli.__file__).parent / "monitors"
ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "conformance" / "releases"
# A monitor that asks the remote once, and ends.
ENDS = f"{sys.executable} -c 'import urllib.request as r; r.urlopen(\"{{general_host}}/none\")'"
# One that asks once, and then does nothing.
SLEEPS = f"""{sys.executable} -c 'import contextlib, time, urllib.request as r
with contextlib.suppress(OSError): r.urlopen("{{general_host}}/none")
time.sleep(1000)'"""
ABOUT = {"name": "ours", "command": "m", "interval": 1.0, "short": False}
RUN = {"date": "d", "seed": 1, "jobs": 1, "seconds": 60, "part": ""}
PASSED, FAILED, UNKNOWN = Outcome.VALID, Outcome.INVALID, Outcome.UNKNOWN
DIED = "the monitor ended by itself with exit code 1: disk"
LOST = "at the end the live directory was release 0, not release 1"


def _result(outcome: Outcome, *reasons: str, place: str = "http") -> Result:
    whys = reasons or ("because\x00 | of <this>",)
    return Result("happy-path", place, one_claim("a claim", outcome, *whys), 1.5)


def _expected(evidence: str = "^the monitor ended", **more: Any) -> Expected:
    return Expected("happy-path", ("http",), "Known.", evidence, **more)


def _against(outcome: Outcome, *reasons: str, place: str = "http", **more: Any) -> Result:
    return against(_result(outcome, *reasons, place=place), [_expected(**more)])


def _column(about: dict[str, Any], *results: Result) -> Column:
    return Column(about, [result.case for result in results])


@pytest.mark.parametrize(
    ("reasons", "word"),
    [
        ((DIED,), "failed as expected"),
        ((DIED, LOST), "failed as expected"),
        # The consequence alone may have another cause.
        ((LOST,), "failed otherwise than expected"),
        # The cause, and an unexpected failure beside it.
        ((DIED, "written outside: x"), "failed otherwise than expected"),
        (("written outside: x",), "failed otherwise than expected"),
    ],
)
def test_a_failure_is_the_expected_one_only_with_its_evidence_and_nothing_else(
    reasons: tuple[str, ...], word: str
) -> None:
    result = _against(FAILED, *reasons, also=("^at the end the live directory was release 0",))
    assert result.word == word
    assert verdict([result.case]).exit_code == (0 if word == "failed as expected" else 1)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (_result(PASSED), 0),
        (_result(FAILED), 1),
        (_result(UNKNOWN), 3),
        (_against(FAILED, DIED), 0),
        (_against(PASSED), 1),
        (_against(PASSED, sometimes=True), 0),
        (_against(FAILED, DIED, sometimes=True), 0),
        (_against(FAILED, LOST, sometimes=True), 1),
        (_against(UNKNOWN, DIED), 3),
    ],
)
def test_exit_codes_follow_from_outcomes(result: Result, code: int) -> None:
    assert verdict([_result(PASSED).case, result.case]).exit_code == code


def test_a_run_of_nothing_proves_nothing() -> None:
    assert verdict([]).exit_code == 3


def test_an_expectation_for_one_remote_says_nothing_of_another() -> None:
    result = against(_result(FAILED, DIED, place="ftp"), [_expected()])
    assert result.word == "failed"


def test_of_several_expectations_the_one_that_explains_the_failure_counts() -> None:
    other = Expected("happy-*", None, "Another.", "^at the end")
    result = against(_result(FAILED, LOST), [_expected(), other])
    assert result.word == "failed as expected"
    assert result.expected is other


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        {"name": "x", "failures": []},
        {"name": "x", "command": "m", "failures": [], "intreval": 1},
        {"name": "x", "command": "m", "failures": [{"scenario": "happy-path", "reason": "x"}]},
        {"failures": [{"scenario": "no-such", "reason": "x", "evidence": "y"}]},
        {"failures": [{"scenario": "happy-path", "reason": "x", "evidence": "("}]},
        {"failures": [{"scenario": "happy-path", "reason": "x", "evidence": " "}]},
    ],
)
def test_a_monitors_file_that_cannot_be_right_is_bad_input(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "monitor.json"
    if isinstance(content, dict) and set(content) == {"failures"}:
        content = {"name": "x", "command": "m", **content}
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(BadInput, match=r"monitor\.json"):
        read_monitor(path, NAMES)


@pytest.mark.parametrize("path", sorted(MONITORS.glob("*.json")), ids=lambda path: path.stem)
def test_a_known_monitor_has_a_command_and_a_reason_for_each_failure(path: Path) -> None:
    monitor = read_monitor(path, NAMES)
    assert "{" not in monitor.command
    assert str(Path.cwd()) not in monitor.said
    assert all(one.reason.endswith(".") for one in monitor.expected)
    # ``whole-throughout`` is judged from the looks of the others, so it needs a name of its own.
    about_all = [one for one in monitor.expected if one.is_about("whole-throughout", "http")]
    assert not [one for one in about_all if one.scenario != "whole-throughout"]
    # A pattern that an empty sentence matches is no evidence of anything.
    assert not [one for one in monitor.expected if one.explains(one_claim("", FAILED, ""))]


def test_our_monitor_is_expected_to_pass_everything() -> None:
    assert read_monitor(MONITORS / "ours.json", NAMES).expected == ()


def test_junit_counts_failures_errors_and_expected_ones() -> None:
    results = [_result(PASSED), _result(FAILED), _result(UNKNOWN)]
    results += [_against(FAILED, DIED), _against(FAILED, LOST), _against(PASSED)]
    (suite,) = ElementTree.fromstring(junit_xml(Run(RUN, [_column(ABOUT, *results)])))
    counts = [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert counts == ["6", "3", "1", "1"]


def test_the_page_shows_every_scenario_and_each_monitor_beside_the_other() -> None:
    stock = dict(ABOUT, name="stock")
    text = report.page(
        Run(RUN, [_column(ABOUT, _result(PASSED)), _column(stock, _against(FAILED, DIED))])
    )
    for scenario in all_scenarios():
        assert f"`{scenario.name}`" in text
    row = next(line for line in text.splitlines() if line.startswith("| `happy-path` R"))
    assert row.endswith("| passed: http | fails: http |")
    assert "Known." in text


def test_the_command_that_repeats_a_case_names_a_case_that_can_run() -> None:
    column = _column(ABOUT, _result(PASSED), replace(_result(PASSED), scenario="whole-throughout"))
    one, over_all = (report.SUITE.repeat(column, result) for result in column.results)
    assert one.endswith("--remotes http --only http/happy-path")
    assert over_all.endswith("--remotes http")


def test_results_are_written_with_their_reasons() -> None:
    text = as_json(Run(RUN, [_column(ABOUT, _against(FAILED, DIED, LOST))]), report.SUITE)
    (row,) = json.loads(text)["monitors"][0]["results"]
    assert row["reasons"] == [DIED, LOST]
    assert row["outcome"] == "failed otherwise than expected"


def test_a_page_is_made_again_from_the_results_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(RUN, [_column(ABOUT, _result(PASSED), _against(FAILED, DIED, place="ftp"))])
    kept = tmp_path / "conformance.json"
    kept.write_text(as_json(run, report.SUITE))
    words = ["--results", str(kept), "--page", str(tmp_path / "page.md")]
    assert cli.main([*words, "--junit", str(tmp_path / "junit.xml")]) == 1
    assert "ours: 2 checks: 1 passed, 1 failed" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text() == report.page(run)
    assert (tmp_path / "junit.xml").read_text() == junit_xml(run)
    assert from_json(kept.read_text(), report.SUITE).results == run.results


def test_a_file_that_holds_no_results_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("{}")
    assert cli.main(["--results", str(tmp_path / "page.md")]) == 2


def test_one_torn_scenario_spoils_the_result_over_all_of_them() -> None:
    whole, torn = Done(_result(PASSED), True), Done(_result(PASSED), False, "in x it was torn")
    unwatched = Done(_result(PASSED))
    assert throughout("http", [unwatched]) is None
    over = throughout("http", [whole, unwatched])
    assert over is not None
    assert (over.verdict.outcome, dict(over.facts)) == (PASSED, {"scenarios watched": "1"})
    over = throughout("http", [whole, torn])
    assert over is not None
    assert (over.verdict.outcome, over.verdict.reasons) == (FAILED, ("in x it was torn",))


def test_a_lane_stays_with_its_remote_and_then_helps_where_most_is_left() -> None:
    tasks = [Task(0, "http", "a"), Task(0, "ftp", "b", 5.0), Task(0, "ftp", "c", 9.0)]
    queue = Queue([*tasks, Task(1, "http", "d")])
    first = queue.take(None)
    assert first is not None
    assert (first.place, first.scenario) == ("ftp", "c")
    second = queue.take(None)
    assert second is not None
    assert (second.place, second.scenario) == ("ftp", "b"), "half of ftp is more than all of http"
    third = queue.take("ftp")
    assert third is not None
    assert (third.place, third.scenario) == ("http", "a"), "ftp has nothing left"
    assert [task.scenario for task in queue.drain("http")] == ["d"]
    assert queue.take("http") is None
    assert most_work({}, {}) is None


def test_what_starts_a_lane_is_imported_before_two_lanes_start() -> None:
    # In CPython 3.9.2 the second of two threads may get a module that is not complete.
    code = """if True:
        import multiprocessing, sys
        from harness.conformance.monitor import lanes
        before = set(sys.modules)
        process = multiprocessing.get_context("spawn").Process(target=print)
        process.start()
        process.join()
        print(*(name for name in set(sys.modules) - before if "multiprocessing" in name))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [], f"imported by the first start: {done.stdout}"


def test_a_run_writes_results_junit_and_the_page(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two monitors, one of a file and one of the command line, in two lanes."""
    ours = tmp_path / "monitor.json"
    content = {"name": "ours", "command": settings.command, "interval": 0.2, "failures": []}
    ours.write_text(json.dumps({**content, "remotes": ["http"]}))
    expected = tmp_path / "expected.json"
    failure = {"scenario": "happy-path", "reason": "It does nothing.", "evidence": "^never live"}
    expected.write_text(json.dumps({"failures": [dict(failure, also=["^at the end", "ended by"])]}))
    words = ["--monitor", str(ours), "--monitor-cmd", ENDS, "--expected", str(expected)]
    words += ["--name", "nothing", "--remotes", "http", "--scenarios", "happy-path", "--jobs", "2"]
    words += ["--run", str(tmp_path / "run"), "--cache", str(CACHE)]
    words += ["--page", str(tmp_path / "page.md")]
    code = cli.main(words)
    said = capsys.readouterr().out
    assert code == 0, said
    shown = [line.split()[-3] for line in said.splitlines() if line.endswith(" s")]
    assert shown.count("whole-throughout") == 2, f"each result has a line: {said}"
    assert "ours: 2 checks: 2 passed" in said
    assert "nothing: 2 checks: 1 passed, 1 failed as expected" in said
    run = json.loads((tmp_path / "run" / "conformance.json").read_text())
    rows = [(m["name"], r["scenario"], r["outcome"]) for m in run["monitors"] for r in m["results"]]
    assert rows == [
        ("ours", "happy-path", "passed"),
        ("ours", "whole-throughout", "passed"),
        ("nothing", "happy-path", "failed as expected"),
        ("nothing", "whole-throughout", "passed"),
    ]
    suites = ElementTree.parse(tmp_path / "run" / "junit.xml").getroot()
    assert [suite.get("failures") for suite in suites] == ["0", "0"]
    assert "| passed: http | fails: http |" in (tmp_path / "page.md").read_text()
    assert "live: release 3" in (tmp_path / "run/0/happy-path-http/timeline.txt").read_text()


def test_an_expected_failure_that_passes_fails_the_run(tmp_path: Path, settings: Settings) -> None:
    expected = tmp_path / "expected.json"
    failure = {"scenario": "no-donefile-at-start", "reason": "It was so.", "evidence": "ended"}
    expected.write_text(json.dumps({"failures": [failure]}))
    words = ["--monitor-cmd", settings.command, "--remotes", "http", "--interval", "0.2"]
    words += ["--scenarios", "no-donefile-at-start", "--expected", str(expected)]
    words += ["--run", str(tmp_path / "run"), "--cache", str(CACHE)]
    assert cli.main(words) == 1


def test_a_remote_that_does_not_come_up_makes_its_checks_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "http-0").write_text("a file where the remote wants its folder")
    words = ["--monitor-cmd", ENDS, "--remotes", "http", "--cache", str(CACHE)]
    words += ["--scenarios", "happy-path,bomb", "--run", str(tmp_path / "run")]
    assert cli.main(words) == 3
    said = capsys.readouterr().out
    assert said.count("not run: the remote did not come up: ") == 2, said


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_leaves_nothing_running(number: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["--monitor-cmd", SLEEPS, "--remotes", "http", "--cache", str(CACHE)]
    words += ["--scenarios", "happy-path,two-*,same-*,touched-*", "--run", str(run), "--jobs", "2"]
    argv = [sys.executable, "-m", "harness", "conformance", *words]
    argv += ["--page", str(tmp_path / "page.md")]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            # One log each: both lanes have a monitor that sleeps.
            wait_for(lambda: len(list(run.glob("0/*/monitor-1.log"))) >= 2, "two monitors", 120)
            process.send_signal(number)
            process.wait(60)
            assert not (tmp_path / "page.md").exists(), "a page of half a run"
        finally:
            process.kill()

    def left() -> list[str]:
        return _named(str(run))

    wait_for(lambda: not left(), "all of it to be gone", 60, last_seen=left)


def _named(folder: str) -> list[str]:
    """Return the command lines of living processes that name a folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if folder in text and str(os.getpid()) != line.parent.name:
                found.append(text)
    return found
