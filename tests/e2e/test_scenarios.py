"""Runs each scenario on FTP, and all faults on each remote; the scenario's promise must hold."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import scenarios
from harness.remotes.existing import existing
from harness.remotes.ftp.local import LocalFtp
from harness.remotes.registry import REMOTES, chosen
from harness.run.e2e import RunSettings, run
from harness.run.leg_settings import LegSettings
from harness.serving.choice import choose
from harness.serving.local import LocalServing
from harness.serving.running import RunningServing
from harness.support.ports import free_port
from tests.conftest import Releases

# Those that take more than half a minute on two cores.
LONG = (
    "monitor-restarts",
    "producer-restarts",
    "server-restarts",
    "all-restart",
    "rollback",
)
# These cause all faults.
FAULTS = ("network-faults", "monitor-faults")


def report_of(folder: Path, name: str, remote: str = "ftp") -> dict[str, Any]:
    """Run a scenario on a remote; return its report."""
    scenario = scenarios.read(name)
    settings = RunSettings(
        scenario=name,
        steps=scenario.steps,
        remotes=chosen([remote]),
        serving="embedded",
        runs=folder / "runs",
        # Clients that ask less leave the processor to the rest.
        leg=replace(scenario.leg, poll_s=0.5, rate=30),
    )
    printed = io.StringIO()
    code = run(settings, Console(file=printed, width=140))
    assert code == 0, printed.getvalue()
    report: dict[str, Any] = json.loads((folder / "runs" / "latest" / "report.json").read_text())
    return report


@pytest.mark.proof
def test_a_burst_ends_with_its_last_release(tmp_path: Path) -> None:
    rows = report_of(tmp_path, "burst")["rows"]
    times = [row["published"] for row in rows[1:]]
    assert len(times) == 10
    # Published one after another, without the pauses of a run that trains.
    assert times[-1] - times[0] < 60
    assert all(rows[-1]["first_served"].values())


@pytest.mark.proof
def test_a_bad_release_between_good_ones_is_not_served(tmp_path: Path) -> None:
    rows = report_of(tmp_path, "bad-between-good")["rows"]
    swapped = {row["release"]: row["swapped"] is not None for row in rows}
    assert swapped == {1: True, 2: True, 3: False, 4: True, 5: False, 6: True}


@pytest.mark.proof
@pytest.mark.parametrize("name", LONG)
def test_the_promise_holds(tmp_path: Path, name: str) -> None:
    report_of(tmp_path, name)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("remote", [remote.name for remote in REMOTES])
@pytest.mark.parametrize("name", FAULTS)
def test_the_promise_holds_on_each_remote(tmp_path: Path, name: str, remote: str) -> None:
    report_of(tmp_path, name, remote)


@pytest.mark.proof
def test_the_stock_monitor_breaks_the_live_directory_at_most(tmp_path: Path) -> None:
    stock = f"{sys.executable} -m paddle_serving_server.monitor"
    scenario = scenarios.read("page")
    settings = RunSettings(
        remotes=chosen(["ftp"]),
        serving="embedded",
        runs=tmp_path / "runs",
        leg=replace(scenario.leg, rate=30, monitor_cmd=stock),
    )
    printed = io.StringIO()
    run(settings, Console(file=printed, width=140))
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())
    outcomes = {claim["name"]: claim["outcome"] for claim in report["claims"]}
    assert outcomes["nothing lost"] == outcomes["last one serves"] == "valid", printed.getvalue()
    # It copies file by file; the observer sees this now and then.
    broken = {name for name, outcome in outcomes.items() if outcome == "invalid"}
    assert broken <= {"live directory is whole"}, printed.getvalue()


@pytest.mark.proof
def test_a_server_that_runs_already_is_judged_and_left_running(
    tmp_path: Path, releases: Releases
) -> None:
    folder = tmp_path / "server"
    shutil.copytree(releases.model(1), folder / "uci_housing_model")
    (folder / "uci_housing_model" / "fluid_time_file").touch()
    with LocalServing(folder, binary=choose("embedded"), port=free_port()) as serving:
        serving.ready()
        server = RunningServing(
            "127.0.0.1", serving.port, live_dir=serving.live_dir, log_file=tmp_path / "no-log"
        )
        settings = RunSettings(
            remotes=chosen(["ftp"]),
            server=server,
            runs=tmp_path / "runs",
            # Another seed than that of the model it has.
            leg=LegSettings(releases=2, seed=9, rate=30, server_runs=True, unseen=("server log",)),
        )
        printed = io.StringIO()
        code = run(settings, Console(file=printed, width=140))
        serving.check()
    assert code == 3, printed.getvalue()
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())
    unknown = {c["name"]: c["why"] for c in report["claims"] if c["outcome"] == "unknown"}
    assert unknown["reload in the log"] == "the run could not see: server log"
    assert not [c["name"] for c in report["claims"] if c["outcome"] == "invalid"]
    assert [row["release"] for row in report["rows"]] == [0, 1, 2]


@pytest.mark.proof
def test_a_remote_that_runs_already_is_used_and_left_running(tmp_path: Path) -> None:
    with LocalFtp(tmp_path / "ftp") as ftp:
        ftp.ready()
        url = ftp.url.replace("@", f":{ftp.password}@")
        settings = RunSettings(
            remotes=(existing(url, None),),
            serving="embedded",
            runs=tmp_path / "runs",
            leg=LegSettings(releases=2, rate=30),
        )
        printed = io.StringIO()
        code = run(settings, Console(file=printed, width=140))
        ftp.check()
    assert code == 0, printed.getvalue()
    assert ftp.password not in (tmp_path / "runs" / "latest" / "history.jsonl").read_text()


@pytest.mark.proof
def test_releases_of_others_are_published_and_told_apart(
    tmp_path: Path, releases: Releases
) -> None:
    for event in releases.published[:2]:
        # Without a manifest: Paddle Inference says what it predicts.
        folder = tmp_path / "mine" / f"day-{event['release']}"
        folder.mkdir(parents=True)
        shutil.copy(event["tarball"], folder)
    settings = RunSettings(
        remotes=chosen(["ftp"]),
        serving="embedded",
        releases_from=tmp_path / "mine",
        runs=tmp_path / "runs",
        leg=LegSettings(rate=30),
    )
    printed = io.StringIO()
    code = run(settings, Console(file=printed, width=140))
    assert code == 0, printed.getvalue()
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())
    assert all(all(row["first_served"].values()) for row in report["rows"])
    assert len(report["rows"]) == 2
