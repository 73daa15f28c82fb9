"""A monitor beside a real server, and releases of the server's trial, which need no training."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Optional

import pytest

from harness.conformance.serving.server import Launched
from harness.support.waits import wait_for
from monitor import remotes
from monitor.decisions.serving import Phase
from monitor.live.state import read_serving
from monitor.served.confirm import Confirmer
from monitor.stop import Stop
from monitor.watch.watch import Watch
from tests.unit.monitor.fixtures import Site, manifest_of, options_for, tarball

TRIAL = Path(__file__).parents[3] / "harness" / "serving" / "trial_model"
EXPECTED = json.loads((TRIAL / "expected.json").read_text())
ENGINE = Path(sys.prefix, "bin/embedded-serving")
BESIDE_A_SERVER = [
    # One server for all tests.
    pytest.mark.xdist_group("beside a server"),
    pytest.mark.skipif(
        not ENGINE.exists(), reason="the embedded engine is not in this environment"
    ),
]


def files(number: int) -> dict[str, bytes]:
    """Return the files of one of the two real models of the server's trial."""
    found = {path.name: path.read_bytes() for path in (TRIAL / "release-1").iterdir()}
    if number % 2 == 0:
        found.update({p.name: p.read_bytes() for p in (TRIAL / "release-2").iterdir()})
    return found


def probe(number: int, feed: Optional[dict[str, Any]] = None) -> dict[str, Any]:
    answer = EXPECTED["answers"][(number + 1) % 2]
    return {"feed": feed or EXPECTED["feed"], "expected": {EXPECTED["fetch"]: [answer]}}


def publish(site: Site, number: int, **other: object) -> None:
    packed = tarball(files(number))
    fields = {"probe": probe(number), **other}
    site.publish(number, packed, donefile=manifest_of(number, packed, **fields))


def engine_pid(server: Launched) -> int:
    """Return the process of the serving binary, which a supervisor may start again."""
    found = []
    for pid in server.process.pids:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"embedded-serving" in words[1]:
                found.append(pid)
    (pid,) = found
    return pid


class Scene:
    """A monitor beside a server, both stepped by the test."""

    def __init__(self, server: Launched, site: Site, /, **given: object) -> None:
        self.folder = server.folder
        url = given.pop("server", f"http://127.0.0.1:{server.port}")
        log = given.pop("server_log", "")
        self.options = options_for(
            server.folder, general_host=site.url, server=url, server_log=log, **given
        )
        stop = Stop()
        self.watch = Watch(self.options, remotes.create(self.options, stop), stop)
        self.watch.begin()
        self.figures = self.watch.reporter.figures
        self.confirmer = Confirmer(self.options, self.figures, stop, self.watch.notices)

    def close(self) -> None:
        self.watch.end()

    def phase(self) -> str:
        serving = read_serving(self.watch.layout.serving)
        return "" if serving is None else serving.phase

    def becomes(self, phase: Phase) -> str:
        """Step until the phase comes; return its sentence."""

        def step() -> bool:
            time.sleep(self.confirmer.step())
            return self.phase() == phase.name

        wait_for(step, f"the phase {phase.name}", 60, last_seen=self.phase)
        serving = read_serving(self.watch.layout.serving)
        assert serving is not None
        return serving.why


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
