"""Scenarios that kill, stop and pause parts, with remote, server and monitor in containers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness import scenarios
from harness.checker import history as histories
from harness.containers import images
from harness.containers.monitor import IMAGE, ContainerMonitor
from harness.remotes.registry import chosen
from harness.run.e2e import RunSettings, run
from harness.support.errors import Failed
from harness.support.process import marked, new_mark
from harness.support.waits import wait_for
from tests.docker.fleet import left_in_engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("built")]

FAULTS = [
    (fault, target)
    for target in ("monitor", "server", "remote")
    for fault in ("kill", "restart", "pause")
]


# Each fault and each target once. All nine pairs are the long form.
SHORT_FAULTS = [("kill", "monitor"), ("restart", "server"), ("pause", "remote")]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "faults", [SHORT_FAULTS, pytest.param(FAULTS, marks=pytest.mark.proof)], ids=["short", "all"]
)
def test_no_release_is_lost_when_containers_are_killed_stopped_and_paused(
    tmp_path: Path, faults: list[tuple[str, str]]
) -> None:
    step = '[[step]]\ndo = "fault"\nfault = "{}"\ntarget = "{}"\nfor_s = 2.0\n'
    file = tmp_path / "containers.toml"
    file.write_text('promise = "One."\n' + "".join(step.format(*one) for one in faults))
    scenario = scenarios.read(str(file))
    settings = RunSettings(
        scenario=scenario.name,
        steps=scenario.steps,
        remotes=chosen(["ftp"]),
        on="docker",
        monitor_on="docker",
        serving="docker",
        runs=tmp_path / "runs",
        leg=scenario.leg,
    )
    printed = io.StringIO()
    code = run(settings, Console(file=printed, width=140))
    assert code == 0, printed.getvalue()

    folder = tmp_path / "runs" / "latest"
    events = list(histories.read(folder / "history.jsonl"))
    caused = [(event["fault"], event["target"]) for event in events if event["event"] == "fault"]
    assert caused == faults
    parts = {event["part"] for event in events if event["event"] == "resources"}
    assert "monitor" in parts, "the run does not see the process in the monitor's container"
    projects = [
        line.partition("=")[2]
        for file in folder.rglob("compose.env")
        for line in file.read_text().splitlines()
        if line.startswith("COMPOSE_PROJECT_NAME=")
    ]
    # The remote, the server, and the monitor with --once and without.
    assert len(projects) == 4
    assert [one for project in projects for one in left_in_engine(project)] == []


def test_a_monitor_in_a_container_that_ends_says_why(tmp_path: Path) -> None:
    mark = new_mark()
    monitor = ContainerMonitor(
        "the monitor",
        ["--type", "no$where"],
        image=images.ensure(IMAGE),
        log=tmp_path / "monitor.log",
        cwd=tmp_path,
        folders=[tmp_path],
        place=tmp_path / "container",
        mark=mark,
    )
    with monitor:
        assert monitor.wait(30) == 2

        def has_ended() -> bool:
            try:
                monitor.check()
            except Failed as error:
                return "no$where" in str(error)
            return False

        wait_for(has_ended, "the end of the monitor to be noticed", 10)
    assert not marked(mark)
    assert left_in_engine(monitor.project) == []
    # The options may have a password.
    assert (tmp_path / "container" / "compose.json").stat().st_mode & 0o777 == 0o600
