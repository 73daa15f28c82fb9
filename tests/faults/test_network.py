"""A release that is published while the network is bad: installed whole, then or afterwards.

Each fault of the network stands before each remote. The short form has two faults over HTTP that a
monitor can take for a release: a flipped bit and a login page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.faults.base import Targets
from harness.faults.registry import NETWORK, make
from harness.remotes.services import LocalRemote
from harness.support.waits import wait_for
from tests.conftest import Releases
from tests.local_remotes import ONE_WORKER, healthy

from .test_pulls import Watched

# The bytes of the release's large file. A fault "after" some bytes hits the middle of the tarball.
_EXTRA = 300_000
_PARAMETERS: dict[str, dict[str, object]] = {
    "latency": {"delay_ms": 200, "jitter_ms": 100},
    "bandwidth": {"rate": 100_000},
    "cut": {"after": 100_000},
    "stall": {"after": 100_000},
    "slow-close": {"delay_s": 3},
    "slices": {"size": 2000},
    "bit-flip": {"after": 100_000},
    "wrong-answer": {"answer": "login"},
}
_WAYS = (("http", "general"), ("ftp", "ftp"), ("hdfs", "webhdfs"), ("hdfs", "hdfs"))
# What the monitor says of the faults of the short form.
_SHORT = {
    ("http", "bit-flip"): "its sha256 is not the manifest's",
    ("http", "wrong-answer"): "it is a web page",
}


@pytest.fixture
def watched(
    request: pytest.FixtureRequest, releases: Releases, tmp_path: Path
) -> Iterator[Watched]:
    name, kind = request.param
    remote = healthy(name, request)
    made = Watched(remote, tmp_path, releases, kind)
    made.publish(1, extra=1)
    with made.monitor:
        made.wait_for_release(1)
        yield made
    remote.resume()


@ONE_WORKER
@pytest.mark.parametrize(
    ("watched", "name"),
    [
        pytest.param(
            (remote, kind),
            fault.name,
            id=f"{kind}-{fault.name}",
            marks=() if (remote, fault.name) in _SHORT else pytest.mark.proof,
        )
        for remote, kind in _WAYS
        for fault in NETWORK
    ],
    indirect=["watched"],
)
def test_a_release_comes_whole_through_a_bad_network_or_after_it(
    watched: Watched, name: str
) -> None:
    remote = watched.remote
    assert isinstance(remote, LocalRemote)
    gates = [remote.gate(service) for service in remote.services]
    # Publishing goes through the same gates, so it comes first.
    fault = make(name, _PARAMETERS.get(name, {}))
    paused = make("pause", {})
    offered = Targets(
        parts={"monitor": watched.monitor}, restart=lambda _: None, gates={"remote": gates}, seed=7
    )
    paused.start(offered)
    watched.publish(2, extra=_EXTRA)
    before = sum(gate.traffic for gate in gates)
    log = watched.monitor.log.read_text()
    fault.start(offered)
    paused.stop()

    words = _SHORT.get((remote.name, name), "")

    def met() -> bool:
        """Whether the monitor has pulled, or has said that it could not."""
        said = watched.monitor.log.read_text()[len(log) :]
        if words:
            return words in said
        traffic = sum(gate.traffic for gate in gates) - before
        return watched.installed() == 2 or "ERROR" in said or "WARN" in said or traffic > _EXTRA

    wait_for(met, f"the monitor to meet {name}", 120, log=watched.monitor.log)
    fault.stop()
    watched.wait_for_release(2)
    watched.monitor.check()
