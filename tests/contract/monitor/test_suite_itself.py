"""The suite's own parts: command templates, results, reports, the watcher, the interposer."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.checker.outcome import Outcome
from harness.conformance.monitor import cli, interposer
from harness.conformance.monitor.command import OPTIONS as OPTIONS_OF_A_MONITOR
from harness.conformance.monitor.command import command_line, resolved
from harness.conformance.monitor.places.base import Place
from harness.conformance.monitor.releases import Release
from harness.conformance.monitor.scenarios import all_scenarios
from harness.conformance.monitor.scenarios.kills import Point, points_of, sampled
from harness.conformance.monitor.settings import Settings
from harness.conformance.monitor.stage import Stage
from harness.conformance.monitor.suite import Stock, chosen, run_pair
from harness.conformance.monitor.watch import Watcher
from harness.support.errors import BadInput
from harness.support.live_directory import TIME_FILE, look_once
from harness.support.waits import wait_for

CACHE = Path(__file__).resolve().parents[3] / ".cache" / "conformance" / "releases"

OPTIONS = {"type": "general", "general_host": "http://h", "remote_path": "a b", "interval": "1"}


def test_options_are_appended_to_a_plain_command() -> None:
    line = command_line("python -m m --debug", OPTIONS)
    assert line == ["python", "-m", "m", "--debug"] + [f"--{k}={v}" for k, v in OPTIONS.items()]


def test_a_template_gets_values_and_loses_words_that_have_none() -> None:
    line = command_line(
        "m --from={general_host}/{remote_path} --ftp={ftp_host} '{type} x'", OPTIONS
    )
    assert line == ["m", "--from=http://h/a b", "general x"]


@pytest.mark.parametrize("command", ["", "m {nonsense}", "m 'unfinished"])
def test_a_bad_command_is_bad_input(command: str) -> None:
    with pytest.raises(BadInput):
        command_line(command, OPTIONS)


def test_every_scenario_says_what_it_does_and_what_a_user_loses() -> None:
    scenarios = all_scenarios()
    assert len({scenario.name for scenario in scenarios}) == len(scenarios)
    for scenario in scenarios:
        assert scenario.title.endswith("."), scenario.name
        assert scenario.loss.endswith("."), scenario.name


def test_a_short_run_draws_the_same_sample_for_the_same_seed() -> None:
    def names(seed: int) -> list[str]:
        drawn = chosen(all_scenarios(), "http", Settings("m", short=True, seed=seed))
        return [scenario.name for scenario in drawn]

    assert names(1) == names(1)
    assert names(1) != names(2)
    assert names(1)[0] == "happy-path"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--monitor-cmd", "m", "--remotes", "gopher"],
        ["--monitor-cmd", "m", "--scenarios", "no-such"],
        ["--monitor-cmd", "m", "--interval", "-1"],
        ["--monitor-cmd", "m", "--expected", "/nowhere/file"],
        ["--monitor-cmd", "m", "--no-such-option"],
        ["--monitor-cmd", "m {nonsense}"],
        ["--monitor-cmd", "m", "--knows", "nonsense"],
        ["--monitor-cmd", "m", "--control", "look"],
        ["--monitor-cmd", "m", "--control", "nonsense=SIGHUP"],
        ["--monitor-cmd", "m", "--control", "look="],
        ["--monitor-cmd", "m", "--control", "hold=stop {nonsense}"],
        ["--monitor-cmd", "m", "--control", "look=http://127.0.0.1/look"],
        ["--monitor-cmd", "m", "--control", "ready=SIGHUP"],
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("conformance: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("option", ["--interval", "--jobs"])
def test_a_word_in_place_of_a_number_is_named(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--monitor-cmd", "m", option, "soon"]) == 2
    assert f"argument {option}: 'soon' is no " in capsys.readouterr().err


def test_files_of_the_callers_folder_are_found_from_any_other(tmp_path: Path) -> None:
    for name in ("mine.py", "mine", "conf.ini", "sh"):
        (tmp_path / name).touch()
    found = resolved("./mine -m mine conf.ini --conf=conf.ini --top=. {type} other.ini", tmp_path)
    here = str(tmp_path)
    assert shlex.split(found) == [
        f"{here}/mine", "-m", "mine", f"{here}/conf.ini", f"--conf={here}/conf.ini", "--top=.",
        "{type}", "other.ini",
    ]  # fmt: skip
    assert shlex.split(resolved("sh mine.py", tmp_path)) == ["sh", f"{here}/mine.py"]


def _suite(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "harness", "conformance", "--monitor-cmd", command]
    words += ["--remotes", "http", "--scenarios", "happy-path", "--cache", str(CACHE)]
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-python -m my_monitor", "exit code 127"),
        (f"{sys.executable} -m no_such_monitor", "No module named no_such_monitor"),
        (f"{sys.executable} -m monitor --no-such-option", "--no-such-option"),
    ],
)
def test_a_command_that_does_not_start_is_bad_input(
    tmp_path: Path,
    releases: list[Release],
    capsys: pytest.CaptureFixture[str],
    command: str,
    why: str,
) -> None:
    words = ["--monitor-cmd", command, "--remotes", "http", "--scenarios", "happy-path"]
    assert cli.main([*words, "--cache", str(CACHE), "--run", str(tmp_path / "run")]) == 2
    said = capsys.readouterr()
    # The suite shows paths below the current folder without the folder.
    shown = command.replace(f"{Path.cwd()}/", "")
    assert f"the monitor `{shown}` does not start" in said.err
    assert why in said.err
    assert "passed" not in said.out, "nothing was judged"


def test_a_module_of_the_callers_folder_is_the_monitor(
    tmp_path: Path, releases: list[Release]
) -> None:
    (tmp_path / "my_monitor.py").write_text(
        "import runpy\nrunpy.run_module('monitor', alter_sys=True, run_name='__main__')\n"
    )
    done = _suite(tmp_path, f"{sys.executable} -m my_monitor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_look_is_never_a_mixture_of_two_exchanged_directories(tmp_path: Path) -> None:
    live, beside = tmp_path / "live", tmp_path / "beside"
    for folder, text in ((live, "old"), (beside, "new")):
        folder.mkdir()
        for number in range(20):
            (folder / f"{number}").write_text(text)
    stop = threading.Event()

    def exchange() -> None:
        code = (
            "import ctypes, sys, time\n"
            "libc = ctypes.CDLL(None)\n"
            "a, b = (word.encode() for word in sys.argv[1:3])\n"
            "while True:\n"
            "    assert libc.renameat2(-100, a, -100, b, 2) == 0\n"
            "    time.sleep(0.0005)\n"
        )
        command = [sys.executable, "-c", code, str(live), str(beside)]
        with subprocess.Popen(command) as process:
            stop.wait(120)
            process.kill()

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        seen: set[frozenset[str]] = set()
        deadline = time.monotonic() + 60
        looks = 0
        while looks < 600 or (len(seen) < 2 and time.monotonic() < deadline):
            looks += 1
            content = look_once(live)
            assert content is not None
            digests = frozenset(content.files.values())
            assert len(digests) == 1, "a look mixed two directories"
            assert len(content.files) == 20
            seen.add(digests)
    finally:
        stop.set()
        thread.join()
    assert len(seen) == 2, "the directories were never exchanged while looking"


def test_the_watcher_sees_a_file_that_is_replaced_in_place(tmp_path: Path) -> None:
    (tmp_path / "params").write_text("old")
    watcher = Watcher(tmp_path, frozenset())
    watcher.start()
    (tmp_path / "params").write_text("new")
    watcher.stop()
    assert len(watcher.looks) >= 2


def test_a_wait_for_a_release_outlasts_the_time_file_of_the_one_before(
    http: Place, stock: Stock, tmp_path: Path
) -> None:
    releases = stock.releases
    remote = http.folder("earlier-time-file")
    stage = Stage(http, remote, tmp_path / "stage", releases, stock.settings)
    stage.install(releases[0])
    stage.runs.start([sys.executable, "-c", "import time; time.sleep(600)"])
    stage.watch()
    ended = threading.Event()
    early = []

    def copy(release: Release) -> None:
        release.write_to(stage.live)
        wait_for(lambda: stage.was_live(release), f"{release.label} to be seen", 30)
        early.append(ended.wait(0.3))

    def copy_both() -> None:
        copy(releases[1])
        os.utime(stage.live / TIME_FILE, (1, 1))
        early.append(ended.wait(0.3))
        copy(releases[2])
        os.utime(stage.live / TIME_FILE, (2, 2))

    stage.know(releases[1])
    stage.announce(releases[2])
    copying = threading.Thread(target=copy_both)
    copying.start()
    try:
        stage.expect_live(releases[2])
    finally:
        ended.set()
        copying.join()
        stage.close()
    assert early == [False, False, False], "the wait ended before the time file moved again"


def _interpose(folder: Path, *options: str, script: str) -> tuple[int, list[dict[str, object]]]:
    record = folder.parent / "record.jsonl"
    command = [sys.executable, interposer.__file__, "--under", str(folder)]
    command += ["--record", str(record), *options, "--", "sh", "-c", script]
    done = subprocess.run(command, cwd=folder, check=False, timeout=60)
    if done.returncode == 125:
        pytest.skip("ptrace is not allowed here")
    return done.returncode, [json.loads(line) for line in record.read_text().splitlines()]


def test_the_interposer_lists_changes_of_children_too_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "under"
    folder.mkdir()
    script = f"cat /etc/hostname >/dev/null; mkdir a; (echo x >a/b); mv a c; touch {tmp_path}/d"
    code, calls = _interpose(folder, script=script)
    assert code == 0
    assert [call["call"] for call in calls] == ["mkdir", "openat", "write", "renameat2"] or [
        call["call"] for call in calls
    ] == ["mkdir", "openat", "write", "rename"]
    assert calls[-1]["paths"] == [str(folder / "a"), str(folder / "c")]


@pytest.mark.parametrize(("when", "left"), [("before", []), ("after", ["a"])])
def test_a_kill_comes_exactly_before_or_after_its_call(
    when: str, left: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "under"
    folder.mkdir()
    code, calls = _interpose(folder, "--kill", when, "--at", "1", script="mkdir a; mkdir b")
    assert code == 137
    assert os.listdir(folder) == left
    assert len(calls) == 1


def test_points_begin_with_the_pulls_last_write_and_leave_failed_calls_out() -> None:
    def call(number: int, name: str, path: str, result: int) -> dict[str, object]:
        return {"n": number, "call": name, "paths": [path], "result": result}

    record = [
        call(1, "write", "/t/uci_housing.tar.gz", 10),
        call(2, "write", "/t/uci_housing.tar.gz", 10),
        call(3, "mkdir", "/l/x", -17),
        call(4, "rename", "/l/x", 0),
    ]
    points = points_of(record, Path("/l/x"))
    assert [(point.number, point.swaps) for point in points] == [(2, False), (4, True)]


def test_a_sample_of_kills_begins_with_the_calls_about_the_live_directory() -> None:
    points = [Point(number, "", number in (7, 8)) for number in range(1, 60)]
    assert len(sampled(points, None, 1)) == 2 * 59
    for seed in range(20):
        drawn = sampled(points, 6, seed)
        assert {(point.number, when) for point, when in drawn if point.swaps} == {
            (7, "before"),
            (7, "after"),
            (8, "before"),
            (8, "after"),
        }
        assert len(drawn) == 6
        assert {point.number for point, _ in sampled(points, 3, seed)} <= {7, 8}


def test_a_monitor_that_does_nothing_fails_and_one_that_ends_at_once_too(
    http: Place, stock: Stock, tmp_path: Path
) -> None:
    happy = all_scenarios()[0]
    cases = (("sleep 1000", 1.0, "never live"), ("false", 30.0, "ended by itself"))
    for command, patience, words in cases:
        settings = Settings(f"sh -c '{command}' x", interval=0.2, patience=patience)
        verdict, _ = run_pair(happy, http, Stock(stock.releases, settings), tmp_path / command)
        assert verdict.outcome is Outcome.INVALID
        assert words in verdict.evidence


def test_a_monitor_that_never_logs_in_does_not_pass_for_one_that_was_refused(
    ftp: Place, stock: Stock, tmp_path: Path
) -> None:
    scenario = next(s for s in all_scenarios() if s.name == "wrong-credentials")
    settings = Settings("false", interval=0.2, patience=1.0)
    verdict, _ = run_pair(scenario, ftp, Stock(stock.releases, settings), tmp_path / "stage")
    assert verdict.outcome is Outcome.INVALID
    assert "never tried to log in" in verdict.evidence


def test_a_monitor_that_only_polls_is_not_taken_for_one_that_pulled(
    http: Place, stock: Stock, tmp_path: Path
) -> None:
    code = (
        "import sys, urllib.request as r\n"
        "while True: r.urlopen(sys.argv[1]).read() and print('polled', flush=True)"
    )
    url = "{general_host}{remote_path}/{remote_donefile_name}"
    settings = Settings(shlex.join([sys.executable, "-c", code, url]), interval=0.2, patience=10.0)
    scenario = next(s for s in all_scenarios() if s.name == "named-pipe")
    _, observed = run_pair(scenario, http, Stock(stock.releases, settings), tmp_path / "stage")
    assert observed.log.count("polled") > 10, "its polls brought less than the tarball has"
    assert any("the tarball to be pulled" in unmet for unmet in observed.unmet)


def test_a_second_monitor_that_clears_the_first_ones_pull_is_found_out(
    http: Place, stock: Stock, tmp_path: Path
) -> None:
    # The second monitor removes the staging folder at its start, while the first one pulls into it.
    wipe = """rm -rf "$0".staging-*; exec "$@" """
    options = [f"--{name}={{{name}}}" for name in OPTIONS_OF_A_MONITOR]
    beside = "{local_path}/.{local_model_name}"
    command = ["sh", "-c", wipe, beside, *stock.settings.command.split()]
    settings = dataclasses.replace(stock.settings, command=shlex.join([*command, *options]))
    scenario = next(s for s in all_scenarios() if s.name == "second-monitor-in-a-pull")
    verdict, _ = run_pair(scenario, http, Stock(stock.releases, settings), tmp_path / "stage")
    assert verdict.outcome is Outcome.INVALID
    assert "from its beginning again" in verdict.evidence


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("traversal", "written outside"),
        pytest.param(
            "password-stays-secret", "the password is in the log", marks=pytest.mark.proof
        ),
    ],
)
def test_the_stock_monitor_is_found_out(
    name: str, words: str, ftp: Place, stock: Stock, tmp_path: Path
) -> None:
    pytest.importorskip("paddle_serving_server", reason="the stock monitor is not installed")
    command = f"{sys.executable} -W ignore -m paddle_serving_server.monitor"
    settings = Settings(command, interval=1, patience=30.0, recovery=30.0)
    scenario = next(scenario for scenario in all_scenarios() if scenario.name == name)
    verdict, _ = run_pair(scenario, ftp, Stock(stock.releases, settings), tmp_path / "stage")
    assert verdict.outcome is Outcome.INVALID
    assert words in verdict.evidence
