"""Remotes that break while a monitor pulls: afterwards it installs the release all the same.

One fault for each service: killed and started again, paused, disconnected. ``PullFaults`` is run
over local processes here, and over containers by ``tests/docker``. The tarball is large and the
monitor's rate limited, so that the fault meets a pull under way and not the pause before or after.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from harness.faults.silence import Silence
from harness.remotes.base import Remote
from harness.remotes.services import LocalRemote
from harness.support.process import Process
from harness.support.waits import wait_for
from producer.errors import RemoteError
from producer.manifest import encode
from producer.pack import pack
from producer.publish import Access, connect, parse, publish
from tests.conftest import Releases
from tests.local_remotes import ONE_WORKER, healthy

#: Returns the healthy remote of a name.
Healthy = Callable[[str], Remote]

MODEL, TARBALL, DONEFILE = "uci_housing_model", "uci_housing.tar.gz", "donefile"
# More than the buffers between server and monitor hold (Docker's proxy has some, too), so that a
# pull needs the server to its end. The rate is slow, so that a fault meets the pull on any machine.
EXTRA_BYTES = 16_000_000
RATE = EXTRA_BYTES // 6
DEADLINE_S = 150.0


class Watched:
    """A remote with a monitor at work on it, and the live directory that it keeps."""

    def __init__(
        self, remote: Remote, folder: Path, releases: Releases, kind: Optional[str]
    ) -> None:
        self.remote = remote
        self.folder = folder
        self.live = folder / "live" / MODEL
        self._tmp = folder / "live" / "_tmp"
        self._releases = releases
        options = remote.producer_options
        access = Access(
            hdfs_user=options[1] if options else None,
            ftp_password=remote.producer_environment.get("PRODUCER_FTP_PASSWORD"),
        )
        self._publisher = connect(parse(remote.url), access)
        self._publisher.prepare()
        (folder / "live").mkdir()
        argv = [sys.executable, "-m", "monitor", *remote.monitor_options(kind), "--debug"]
        argv += ["--remote_model_name", TARBALL, "--remote_donefile_name", DONEFILE]
        argv += ["--local_path", ".", "--local_model_name", MODEL, "--local_tmp_path", "_tmp"]
        argv += ["--unpacked_filename", MODEL, "--rate_limit", str(RATE)]
        # With short times, the monitor notices an outage of one second, and recovers soon after it.
        argv += ["--interval", "0.3", "--timeout", "2", "--backoff_max", "1"]
        self.monitor = Process("monitor", argv, log=folder / "monitor.log", cwd=folder / "live")

    def publish(self, number: int, extra: int = EXTRA_BYTES) -> None:
        """Publish the model of the producer's release ``number`` with a large file."""
        event = self._releases.published[number - 1]
        staged = self.folder / f"release-{number}"
        shutil.copytree(self._releases.model(number), staged / MODEL)
        (staged / MODEL / "extra.bin").write_bytes(random.Random(number).randbytes(extra))
        packed = pack(staged / MODEL, MODEL, staged / TARBALL)
        manifest = {**event["manifest"], "size": packed.size, "sha256": packed.sha256}
        (staged / DONEFILE).write_bytes(encode(manifest))

        def published() -> bool:
            publish(self._publisher, staged / TARBALL, staged / DONEFILE)
            return True

        # Try again, as the producer does: a DataNode's first call to a restarted NameNode fails.
        wait_for(published, f"release {number} to be published", 60, retry_on=(RemoteError,))

    def installed(self) -> Optional[int]:
        """The number of the release in the live directory, by the monitor's own record."""
        try:
            state: dict[str, Any] = json.loads((self.live / ".monitor-state.json").read_text())
        except FileNotFoundError:
            return None
        number = state["identity"]["release"]
        assert isinstance(number, int)
        return number

    def wait_for_release(self, number: int) -> None:
        """Wait until release ``number`` is installed with the files that were published."""
        wait_for(
            lambda: self.installed() == number,
            f"release {number} in the live directory",
            DEADLINE_S,
            alive=self.monitor.check,
            last_seen=lambda: f"release {self.installed()}",
            log=self.monitor.log,
        )
        for path in (self.folder / f"release-{number}" / MODEL).iterdir():
            assert (self.live / path.name).read_bytes() == path.read_bytes(), path.name

    def wait_for_a_pull_under_way(self) -> None:
        """Wait until some of the tarball has come."""

        def begun() -> bool:
            places = [self._tmp, *self.live.parent.glob(f".{self.live.name}.staging-*")]
            found = [path for place in places for path in place.rglob("*") if path.is_file()]
            sizes = [path.stat().st_size for path in found]
            return any(0 < size < EXTRA_BYTES // 2 for size in sizes)

        wait_for(begun, "a pull under way", DEADLINE_S, alive=self.monitor.check,
                 log=self.monitor.log, every_s=0.01)  # fmt: skip

    def wait_for_a_failure(self, name: str) -> None:
        """Wait until the monitor has logged that it could not get the remote's file ``name``."""
        said = re.compile(rf"cannot \w+ \S*{re.escape(name)}")
        wait_for(
            lambda: said.search(self.monitor.log.read_text()),
            f"the monitor to log that it cannot get {name}",
            DEADLINE_S,
            alive=self.monitor.check,
            log=self.monitor.log,
        )


def with_remote(name: str, kind: str) -> pytest.MarkDecorator:
    """Run a test with the fixture ``watched`` on the remote ``name``, with ``--type=kind``."""
    return pytest.mark.parametrize("watched", [(name, kind)], indirect=True, ids=[kind])


class PullFaults:
    """The tests. A subclass has the fixture ``bring``."""

    @pytest.fixture
    def bring(self, request: pytest.FixtureRequest) -> Healthy:
        raise NotImplementedError

    @pytest.fixture
    def watched(
        self, bring: Healthy, request: pytest.FixtureRequest, releases: Releases, tmp_path: Path
    ) -> Iterator[Watched]:
        """Release 1 installed; the remote and the monitor's type are the test's parameters."""
        name, kind = request.param
        remote = bring(name)
        made = Watched(remote, tmp_path, releases, kind)
        made.publish(1, extra=1)
        with made.monitor:
            made.wait_for_release(1)
            yield made
        remote.resume()

    @with_remote("hdfs", "webhdfs")
    def test_a_datanode_killed_during_a_pull_delays_the_release_and_loses_none(
        self, watched: Watched
    ) -> None:
        watched.publish(2)
        watched.wait_for_a_pull_under_way()
        watched.remote.kill("datanode")
        watched.wait_for_a_failure(TARBALL)
        assert watched.installed() == 1
        watched.remote.start("datanode")
        watched.wait_for_release(2)

    @with_remote("hdfs", "hdfs")
    def test_a_namenode_started_again_finds_the_monitor_waiting(self, watched: Watched) -> None:
        watched.remote.kill("namenode")
        watched.wait_for_a_failure(DONEFILE)
        watched.remote.start("namenode")
        watched.remote.ready(DEADLINE_S)
        watched.publish(2, extra=1)
        watched.wait_for_release(2)

    @with_remote("ftp", "ftp")
    def test_an_ftp_server_paused_during_a_pull_delays_the_release_and_loses_none(
        self, watched: Watched
    ) -> None:
        watched.publish(2)
        watched.wait_for_a_pull_under_way()
        watched.remote.pause()
        watched.wait_for_a_failure(TARBALL)
        assert watched.installed() == 1
        watched.remote.resume()
        watched.wait_for_release(2)

    @with_remote("http", "general")
    def test_an_http_server_disconnected_during_a_pull_delays_and_loses_no_release(
        self, watched: Watched
    ) -> None:
        watched.publish(2)
        watched.wait_for_a_pull_under_way()
        watched.remote.disconnect()
        watched.wait_for_a_failure(TARBALL)
        assert watched.installed() == 1
        watched.remote.resume()
        watched.wait_for_release(2)

    @with_remote("http", "general")
    def test_a_server_restarted_during_a_pull_delays_the_release_and_loses_none(
        self, watched: Watched
    ) -> None:
        watched.publish(2)
        watched.wait_for_a_pull_under_way()
        watched.remote.stop("http")
        watched.wait_for_a_failure(TARBALL)
        watched.remote.start("http")
        watched.wait_for_release(2)


@ONE_WORKER
class TestPullsFromThisMachine(PullFaults):
    @pytest.fixture
    def bring(self, request: pytest.FixtureRequest) -> Healthy:
        return lambda name: healthy(name, request)

    @with_remote("http", "general")
    def test_a_server_that_goes_silent_during_a_pull_is_given_up_and_asked_again(
        self, watched: Watched
    ) -> None:
        assert isinstance(watched.remote, LocalRemote)
        watched.publish(2)
        watched.wait_for_a_pull_under_way()
        watched.remote.gate().apply(Silence())
        watched.wait_for_a_failure(TARBALL)
        assert watched.installed() == 1
        watched.remote.gate().open()
        watched.wait_for_release(2)
