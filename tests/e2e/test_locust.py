"""Locust's load on a run: a master and two workers, whose histories are merged and judged."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.checker.history import SCHEMA, History, read
from harness.checker.verdict import judge
from harness.cli.merge import merge
from harness.remotes.registry import named
from harness.run.leg import Leg
from harness.run.leg_settings import LegSettings
from harness.serving.choice import choose
from harness.serving.local import LocalServing
from harness.support.ports import free_port
from harness.support.process import Process, new_mark
from harness.support.waits import wait_for

ROOT = Path(__file__).parents[2]
RELEASES = 3
WORKERS = 2


def answered_by(folder: Path) -> list[int]:
    """Return how many answers each worker's history has."""
    return [
        sum(event["event"] == "prediction" and "value" in event for event in read(file))
        for file in folder.glob("locust-*.jsonl")
    ]


def locust(leg: Leg, histories: Path, name: str, mark: str, *options: str) -> Process:
    argv = [str(ROOT / ".venv-locust/bin/python"), "-m", "locust"]
    argv += ["-f", "harness/load/locustfile.py", *options]
    return Process(name, argv, log=histories / f"{name}.log", cwd=ROOT, grace_s=60, mark=mark)


@pytest.mark.proof
@pytest.mark.timeout(540)
def test_the_load_of_two_workers_is_judged_with_the_run(tmp_path: Path) -> None:
    bootstrap = [sys.executable, "harness/setup/bootstrap.py", "locust"]
    subprocess.run(bootstrap, cwd=ROOT, check=True)
    history = History(tmp_path / "history.jsonl")
    history.record("run", schema=SCHEMA, seed=1, remotes=["http"])
    mark = new_mark()
    leg = Leg(
        named("http").local(tmp_path / "remote", mark=mark),
        [
            LocalServing(
                tmp_path / "serving", binary=choose("embedded"), port=free_port(), mark=mark
            )
        ],
        folder=tmp_path,
        history=history,
        settings=LegSettings(releases=RELEASES, rate=30, calm_s=0),
        mark=mark,
    )
    histories = tmp_path / "workers"
    histories.mkdir()
    port, clock_port = free_port(), free_port()
    with leg:
        master = locust(
            *(leg, histories, "master", mark, "--master", "--headless"),
            *("--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)),
            *("--clock-port", str(clock_port)),
            *("--expect-workers", str(WORKERS), "--users", "4", "--spawn-rate", "4"),
            *("--stop-timeout", "10", "--serving", f"127.0.0.1:{leg.sides[0].serving.port}"),
            *("--client-config", str(tmp_path / "producer" / "client")),
            *("--feed", str(tmp_path / "feed.json"), "--fetch", "price", "--remote", "http"),
            *("--histories", str(histories)),
        )
        options = ("--worker", "--master-port", str(port))
        workers = [locust(leg, histories, f"worker-{n}", mark, *options) for n in range(WORKERS)]
        with master, workers[0], workers[1]:
            for _ in range(RELEASES - 1):
                wait_for(
                    lambda: len(asked := answered_by(histories)) == WORKERS and min(asked) > 10,
                    "both workers to be answered",
                    120,
                    alive=master.check,
                    log=master.log,
                )
                leg.publish()
            master.stop()
            codes = [worker.wait(60) for worker in workers]
        assert codes == [0, 0], [worker.log.read_text() for worker in workers]
    history.record("leg_ended", remote="http", seconds=0)
    history.record("end")
    history.close()

    merged = tmp_path / "merged.jsonl"
    files = [history.path, *sorted(histories.glob("locust-*.jsonl"))]
    assert merge(files, merged, Console(file=io.StringIO())) == 0

    events = list(read(merged))
    verdict = judge(events)
    assert verdict.exit_code == 0, verdict.evidence
    errors = [event["error_s"] for event in events if event["event"] == "merged"]
    assert len(errors) == WORKERS
    assert max(errors) < 1
    # Each worker has a client of each kind, and all see each release but the first.
    seen: dict[str, set[float]] = {}
    for event in events:
        if event["event"] == "prediction" and event["client"].count("-") > 1:
            seen.setdefault(event["client"], set()).update(event["value"])
    assert sorted(client.split("-")[0] for client in seen) == ["grpc", "grpc", "http", "http"]
    assert all(len(values) >= RELEASES - 1 for values in seen.values()), seen
