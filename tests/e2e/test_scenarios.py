"""The scenarios, run for real on FTP: each one's promise holds."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import scenarios
from harness.remotes.registry import chosen
from harness.run.e2e import RunSettings, run

# Those that take more than half a minute on two cores.
LONG = (
    "monitor-restarts",
    "producer-restarts",
    "server-restarts",
    "all-restart",
    "rollback",
    "network-faults",
    "monitor-faults",
)


def report_of(folder: Path, name: str, **leg: Any) -> dict[str, Any]:
    """Run a scenario on FTP; return its report."""
    scenario = scenarios.read(name)
    settings = RunSettings(
        scenario=name,
        steps=scenario.steps,
        remotes=chosen(["ftp"]),
        serving="embedded",
        runs=folder / "runs",
        # Clients that ask less leave the processor to the rest.
        leg=replace(scenario.leg, poll_s=0.5, rate=30, **leg),
    )
    printed = io.StringIO()
    code = run(settings, Console(file=printed, width=140))
    assert code == 0, printed.getvalue()
    report: dict[str, Any] = json.loads((folder / "runs" / "latest" / "report.json").read_text())
    return report


def test_a_burst_ends_with_its_last_release(tmp_path: Path) -> None:
    rows = report_of(tmp_path, "burst")["rows"]
    times = [row["published"] for row in rows[1:]]
    assert len(times) == 10
    # Ten trainings take longer.
    assert times[-1] - times[0] < 5
    assert all(rows[-1]["first_served"].values())


def test_a_bad_release_between_good_ones_is_not_served(tmp_path: Path) -> None:
    rows = report_of(tmp_path, "bad-between-good")["rows"]
    swapped = {row["release"]: row["swapped"] is not None for row in rows}
    assert swapped == {1: True, 2: True, 3: False, 4: True, 5: False, 6: True}


@pytest.mark.proof
@pytest.mark.parametrize("name", LONG)
def test_the_promise_holds(tmp_path: Path, name: str) -> None:
    report_of(tmp_path, name)
