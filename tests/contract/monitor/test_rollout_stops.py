"""``docs/examples/rollout`` with a canary and one more monitor: what stops it, and what does not.

The servers are the test's own: they answer as the release in the live directory, or with 500.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from harness.support.ports import free_port
from harness.support.waits import wait_for
from tests.contract.monitor.test_rollout import SCRIPT
from tests.http_server import HttpServer
from tests.unit.monitor.fixtures import CONF, MODEL, Site, manifest_of, model_files, tarball
from tests.unit.monitor.processes import Running, common
from tests.unit.monitor.stepping import live, release_in

TOKEN = "s3cret-t0ken"
TYPED = CONF.replace("  shape: 13", "  is_lod_tensor: false\n  feed_type: 1\n  shape: 13")
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the script needs curl")


def publish(site: Site, number: int) -> None:
    """Publish a release whose prediction is its number."""
    packed = tarball({**model_files(number), "serving_server_conf.prototxt": TYPED.encode()})
    probe = {"feed": {"x": [[1.5] * 13]}, "expected": {"price": [[float(number)]]}}
    site.publish(number, packed, donefile=manifest_of(number, packed, probe=probe))


@dataclass
class One:
    """A monitor and its server."""

    # The name in the list of servers.
    stage: str
    # The monitor's current folder.
    folder: Path
    # Whether the server answers with an error.
    broken: bool = False
    # The port of the monitor's endpoint.
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.server = HttpServer(self._answer)
        self.url = f"http://127.0.0.1:{self.port}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        tensor = {"alias_name": "price", "float_data": [float(release_in(live(self.folder)))]}
        body = json.dumps({"outputs": [{"tensor": [tensor]}]}).encode()
        request.send_response(500 if self.broken else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def start(self, site: Site, token: Path) -> None:
        words = [
            f"--general_host={site.url}", *common(self.folder), "--interval=0.2",
            f"--metrics_port={self.port}", f"--poll_token_file={token}",
            f"--server={self.server.url}", "--on_bad_release=rollback", "--served_within=60",
        ]  # fmt: skip
        self.monitor = Running(words, self.folder / "log", {})

    def command(self, *words: str) -> str:
        """Run a command of the monitor; return what it printed."""
        where = ["--local_path", "local", "--local_model_name", MODEL]
        argv = [sys.executable, "-m", "monitor", *words, *where]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout

    def close(self) -> None:
        self.monitor.process.kill()
        self.monitor.process.communicate()
        self.server.close()


class Fleet:
    """The canary and one more, and the script with them."""

    def __init__(self, folder: Path, first: int) -> None:
        self.folder = folder
        self.scripts: list[subprocess.Popen[str]] = []
        self.site = Site(folder / "remote")
        self.token = folder / "token"
        self.token.write_text(f"{TOKEN}\n")
        publish(self.site, first)
        self.canary, self.rest = (One(stage, folder / stage) for stage in ("canary", "rest"))
        for one in (self.canary, self.rest):
            one.start(self.site, self.token)
        for one in (self.canary, self.rest):
            one.monitor.saw(f"the server serves release {first}")
        self.rest.command("pin", str(first))

    def roll_out(self, release: int, **environment: str) -> subprocess.Popen[str]:
        servers = self.folder / "servers"
        servers.write_text(
            "".join(
                f"{one.stage} {one.url} env -C {one.folder} {sys.executable} -m monitor\n"
                for one in (self.canary, self.rest)
            )
        )
        given = {
            **os.environ, "LOCAL_PATH": "local", "MODEL": MODEL, "TOKEN_FILE": str(self.token),
            "SOAK": "1", "LIMIT": "60", **environment,
        }  # fmt: skip
        script = subprocess.Popen(
            [str(SCRIPT), str(servers), str(release)],
            env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.scripts.append(script)
        return script

    def close(self) -> None:
        for script in self.scripts:
            script.kill()
            script.communicate()
        for one in (self.canary, self.rest):
            one.close()
        self.site.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Callable[[int], Fleet]]:
    made: list[Fleet] = []

    def make(first: int) -> Fleet:
        made.append(Fleet(tmp_path, first))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_server_that_breaks_in_the_soak_stops_the_roll_out(
    fleet: Callable[[int], Fleet],
) -> None:
    two = fleet(1)
    publish(two.site, 2)
    script = two.roll_out(2, SOAK="20")
    two.canary.monitor.saw("the server serves release 2")
    two.canary.broken = True
    out, err = script.communicate(timeout=90)
    assert (script.returncode, out.count("stage canary serves")) == (3, 0), (out, err)
    assert f"stopped: {two.canary.url} does not serve release 2; it says:" in err
    assert "quarantined: release 2: " in err
    assert release_in(live(two.rest.folder)) == 1


def test_a_release_whose_number_is_a_date_rolls_out_and_ps_shows_no_token(
    fleet: Callable[[int], Fleet], tmp_path: Path
) -> None:
    two = fleet(20261128)
    # A curl that writes down its arguments, which `ps` would show.
    (tmp_path / "bin").mkdir()
    curl = tmp_path / "bin" / "curl"
    curl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/seen\nexec {shutil.which("curl")} "$@"\n')
    curl.chmod(0o755)
    publish(two.site, 20261129)
    script = two.roll_out(20261129, PATH=f"{tmp_path}/bin:{os.environ['PATH']}", LIMIT="20")
    out, err = script.communicate(timeout=90)
    assert (script.returncode, err) == (0, ""), (out, err)
    for one in (two.canary, two.rest):
        assert release_in(live(one.folder)) == 20261129, one.stage
    seen = (tmp_path / "seen").read_text()
    assert "/-/poll" in seen
    assert TOKEN not in seen


@pytest.mark.proof
def test_a_newer_release_waits_for_the_end_of_the_roll_out(
    fleet: Callable[[int], Fleet],
) -> None:
    two = fleet(1)
    publish(two.site, 2)
    two.canary.monitor.saw("the server serves release 2")
    script = two.roll_out(2, SOAK="5", LIMIT="15")
    wait_for(lambda: "release 2" in pinned(two.canary), "the canary to be pinned", 30)
    publish(two.site, 3)
    out, err = script.communicate(timeout=120)
    assert (script.returncode, "stage canary serves release 2\n" in out) == (3, True), (out, err)
    assert "if a newer release is published, roll that one out\n" in err
    assert f"stopped: {two.rest.url} does not serve release 2" in err
    two.canary.monitor.saw("the server serves release 3")
    assert (pinned(two.canary), release_in(live(two.rest.folder))) == ("none", 1)
    out, err = two.roll_out(3).communicate(timeout=120)
    assert "stage rest serves release 3\n" in out, (out, err)


def pinned(one: One) -> str:
    """Return what ``status`` says of the pin."""
    return one.command("status").partition("\npinned: ")[2].partition("\n")[0]
