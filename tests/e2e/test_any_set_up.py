"""Runs with another producer and with several servers: real processes over FTP."""

from __future__ import annotations

import io
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

from harness.checker.history import read
from harness.checker.verdict import judge
from harness.remotes.registry import chosen
from harness.run.e2e import RunSettings, run
from harness.run.leg import Leg
from harness.run.leg_settings import LegSettings
from harness.run.steps import Publish, Step
from harness.support.errors import Failed
from harness.support.process import Process
from harness.support.waits import wait_for
from tests.conftest import Releases

# Uploads one release without a file of this project. Only the first donefile is a manifest.
PRODUCER = """
import ftplib, io, sys
releases, number, host, port, user, password, path, tarball, donefile = sys.argv[1:]
with ftplib.FTP() as ftp:
    ftp.connect(host, int(port))
    ftp.login(user, password)
    ftp.cwd(path)
    with open(f"{releases}/{number}/{tarball}", "rb") as file:
        ftp.storbinary(f"STOR {tarball}.new", file)
    ftp.rename(f"{tarball}.new", tarball)
    with open(f"{releases}/{number}/donefile", "rb") as file:
        announced = file.read() if number == "1" else b"day 2"
    ftp.storbinary(f"STOR {donefile}", io.BytesIO(announced))
"""
PLACES = (
    *("{release}", "{ftp_host}", "{ftp_port}", "{ftp_username}", "{ftp_password}"),
    *("{remote_path}", "{remote_model_name}", "{remote_donefile_name}"),
)


def report_of(folder: Path, code: int, *steps: Step, **leg: Any) -> dict[str, Any]:
    """Run these steps on FTP; return the report of a run that ends with this exit code."""
    settings = RunSettings(
        steps=steps or (Publish(),),
        remotes=chosen(["ftp"]),
        serving="embedded",
        runs=folder / "runs",
        leg=LegSettings(releases=2, poll_s=0.5, rate=30, calm_s=0, **leg),
    )
    printed = io.StringIO()
    assert run(settings, Console(file=printed, width=140)) == code, printed.getvalue()
    report: dict[str, Any] = json.loads((folder / "runs" / "latest" / "report.json").read_text())
    return {**report, "printed": printed.getvalue()}


def test_the_releases_of_another_producer_are_judged(tmp_path: Path, releases: Releases) -> None:
    script = tmp_path / "producer.py"
    script.write_text(PRODUCER)
    words = [sys.executable, str(script), str(releases.folder / "releases"), *PLACES]
    report = report_of(tmp_path, 0, producer_cmd=shlex.join(words))
    assert [row["release"] for row in report["rows"]] == [1, 2]
    assert all(all(row["first_served"].values()) for row in report["rows"])


@pytest.mark.proof
def test_releases_that_predict_the_same_leave_claims_unknown(
    tmp_path: Path, releases: Releases
) -> None:
    script = tmp_path / "producer.py"
    script.write_text(PRODUCER.replace("{releases}/{number}", "{releases}/1"))
    words = [sys.executable, str(script), str(releases.folder / "releases"), *PLACES]
    report = report_of(tmp_path, 3, producer_cmd=shlex.join(words))
    why = {claim["why"] for claim in report["claims"] if claim["outcome"] == "unknown"}
    assert "the run could not see: expected predictions" in why


@dataclass(frozen=True)
class PauseTheSecondMonitor(Step):
    """Stop one monitor without an outage in the history, as if the monitor hung by itself."""

    do: ClassVar[str] = "pause the second monitor"

    def take(self, leg: Leg) -> Any:
        leg.sides[1].monitor.pause()
        yield


@pytest.mark.proof
def test_the_verdict_names_the_server_whose_monitor_hangs(tmp_path: Path) -> None:
    report = report_of(tmp_path, 1, PauseTheSecondMonitor(), Publish(), servers=2, margin_s=10.0)
    broken = [claim for claim in report["claims"] if claim["outcome"] == "invalid"]
    assert {claim["remote"] for claim in broken} == {"ftp/2"}
    assert [(row["remote"], row["release"]) for row in report["rows"]] == [
        *(("ftp/1", 1), ("ftp/1", 2)),
        *(("ftp/2", 1), ("ftp/2", 2)),
    ]
    assert "nothing lost" in {claim["name"] for claim in broken}
    assert "ftp release 2: served by 1 of 2 servers" in report["printed"]
    # Each of six clients asks five times a second, at a time of its own.
    turns = {
        (event["server"], event["client"]): round(event["planned"] * 5 % 1 * 6) % 6
        for event in read(tmp_path / "runs" / "latest" / "history.jsonl")
        if event["event"] == "prediction"
    }
    assert sorted(turns.values()) == list(range(6))


@pytest.mark.proof
def test_a_run_that_is_killed_in_a_fault_does_not_blame_the_set_up(tmp_path: Path) -> None:
    steps = '[[step]]\ndo = "fault"\nfault = "kill"\ntarget = "server"\nfor_s = 100\n'
    (tmp_path / "mine.toml").write_text(f'promise = "None."\n{steps}')
    command = [sys.executable, "-m", "harness", "run", "mine.toml", "--remotes", "ftp"]
    command += ["--serving", "embedded", "--serving-trial", "skip", "--rate", "30"]
    history = tmp_path / "runs" / "latest" / "history.jsonl"
    log = tmp_path / "run.log"
    with Process("the run", command, log=log, cwd=tmp_path) as process:

        def a_request_failed() -> bool:
            return history.exists() and '"error":' in history.read_text()

        wait_for(a_request_failed, "a failed request", 200, alive=process.check, log=log)
        process.kill()
    events = list(read(history))
    assert judge([e for e in events if e["event"] != "outage_begins"]).broken
    assert not judge(events).broken


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit(3)", "did not publish release 1: it ended with exit code 3"),
        ("", "there is no donefile at the remote ftp"),
    ],
)
def test_a_command_that_publishes_nothing_ends_the_leg(
    tmp_path: Path, program: str, said: str
) -> None:
    with pytest.raises(Failed, match=said):
        report_of(tmp_path, 1, producer_cmd=shlex.join([sys.executable, "-c", program]))
