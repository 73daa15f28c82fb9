"""``docs/examples/rollout``: eight monitors and servers; a bad release stops at the canary."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.conformance.serving.server import Launched
from harness.support.ports import free_ports
from harness.support.process import Process
from harness.support.waits import wait_for
from tests.contract.monitor.beside_a_server import ENGINE, EXPECTED, TRIAL, events, publish
from tests.unit.monitor.fixtures import MODEL, TARBALL, Site
from tests.unit.monitor.processes import ROOT

SCRIPT = ROOT / "docs" / "examples" / "rollout" / "rollout.sh"
STAGES = ("canary", "first", "first", "rest", "rest", "rest", "rest", "rest")
# How many servers start at once: each launcher takes seconds of a processor.
_AT_ONCE = 4
pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        not ENGINE.exists(), reason="the embedded engine is not in this environment"
    ),
]


@dataclass
class One:
    """A server with its monitor."""

    # The name in the list of servers.
    stage: str
    # The monitor's current folder.
    folder: Path
    # The address of the monitor's endpoint.
    url: str
    # The monitor.
    monitor: Process

    def moments(self, event: str) -> dict[int, float]:
        path = self.folder / "events.jsonl"
        found = events(path) if path.exists() else []
        return {one["release"]: one["monotonic"] for one in found if one["event"] == event}

    def command(self, *words: str) -> str:
        """Run a command of the monitor; return what it printed."""
        where = ["--local_path", ".", "--local_model_name", MODEL]
        argv = [sys.executable, "-m", "monitor", *words, *where]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "remote")
    yield made
    made.close()


@pytest.fixture
def fleet(site: Site, tmp_path: Path) -> Iterator[list[One]]:
    """Eight servers that serve release 1; all but the canary are pinned to it."""
    publish(site, 1)
    (tmp_path / "token").write_text("s3cret-t0ken")
    found = []
    with contextlib.ExitStack() as stack:
        ports = free_ports(len(STAGES))
        servers = [
            Launched(ENGINE, TRIAL / "release-1", folder=tmp_path / f"serving-{number}")
            for number in range(1, len(STAGES) + 1)
        ]
        for server in servers:
            stack.callback(server.stop)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda server: server.start(180), servers))
        for stage, server, port in zip(STAGES, servers, ports):
            words = [
                f"--general_host={site.url}", "--remote_path=/", f"--remote_model_name={TARBALL}",
                "--remote_donefile_name=donefile", "--local_path=.", f"--local_model_name={MODEL}",
                f"--unpacked_filename={MODEL}", "--interval=60", f"--metrics_port={port}",
                f"--poll_token_file={tmp_path}/token", "--event_file=events.jsonl",
                f"--server=http://127.0.0.1:{server.port}", "--served_within=20",
                "--on_bad_release=rollback", "--probation=60",
            ]  # fmt: skip
            command = [sys.executable, "-m", "monitor", *words]
            monitor = Process("monitor", command, log=server.folder / "log.txt", cwd=server.folder)
            stack.enter_context(monitor)
            found.append(One(stage, server.folder, f"http://127.0.0.1:{port}", monitor))
        for one in found:
            served(one, 1)
            if one.stage != "canary":
                one.command("pin", "1")
        yield found


def served(one: One, release: int) -> None:
    wait_for(
        lambda: release in one.moments("served"),
        f"{one.folder.name} to serve release {release}",
        120,
        alive=one.monitor.check,
        log=one.monitor.log,
    )


def roll_out(fleet: list[One], tmp_path: Path, release: int) -> subprocess.CompletedProcess[str]:
    servers = tmp_path / "servers"
    lines = [f"{o.stage} {o.url} env -C {o.folder} {sys.executable} -m monitor\n" for o in fleet]
    servers.write_text("# stage, address, command\n" + "".join(lines))
    environment = {
        **os.environ, "LOCAL_PATH": ".", "MODEL": MODEL, "TOKEN_FILE": f"{tmp_path}/token",
        "SOAK": "2", "LIMIT": "90",
    }  # fmt: skip
    return subprocess.run(
        [str(SCRIPT), str(servers), str(release)],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def test_a_good_release_goes_from_stage_to_stage_and_a_bad_one_stops_early(
    fleet: list[One], site: Site, tmp_path: Path
) -> None:
    publish(site, 2)
    done = roll_out(fleet, tmp_path, 2)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("stage ")]
    assert lines == [f"stage {stage} serves release 2" for stage in ("canary", "first", "rest")]
    last = 0.0
    for stage in ("canary", "first", "rest"):
        swaps = [one.moments("swapped")[2] for one in fleet if one.stage == stage]
        assert min(swaps) > last, f"{stage} swapped before the stage before it served"
        last = max(one.moments("served")[2] for one in fleet if one.stage == stage)

    # It loads, and answers otherwise than its manifest says.
    wrong: dict[str, Any] = {"feed": EXPECTED["feed"], "expected": {EXPECTED["fetch"]: [[1234.5]]}}
    publish(site, 3, probe=wrong)
    done = roll_out(fleet, tmp_path, 3)
    canary, others = fleet[0], fleet[1:]
    assert done.returncode == 3, done.stderr
    assert f"stopped: {canary.url} does not serve release 3; it says:" in done.stderr
    assert "quarantined: release 3: " in done.stderr
    assert 3 in canary.moments("swapped")
    assert "installed: release 2\n" in canary.command("status")
    for one in others:
        assert 3 not in one.moments("swapped"), one.folder.name
        assert "installed: release 2\n" in one.command("status")
