"""One whole leg for each way to reach a remote; the tests then look at what it left behind.

The producer publishes releases that are there already. In other runs it trains them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest

from harness.checker import history as histories
from harness.checker.history import SCHEMA, Event, History
from harness.checker.leg_history import LegHistory
from harness.checker.run_history import sort
from harness.checker.verdict import Verdict, judge
from harness.remotes.registry import named
from harness.run.leg import Leg as RunningLeg
from harness.run.leg_settings import LegSettings
from harness.run.ready_releases import ready_releases
from harness.serving.choice import choose
from harness.serving.local import LocalServing
from harness.support.ports import free_port
from harness.support.process import marked, new_mark
from harness.support.waits import wait_for
from tests.conftest import Releases
from tests.local_remotes import WAYS

RELEASES = 3
IDLE_POLLS = 3


@dataclass(frozen=True)
class Finished:
    """What a finished leg left: its logs, its history and what the checker says of it."""

    # The name of the remote.
    remote: str
    # The monitor's ``--type``.
    kind: str
    # The leg's folder.
    folder: Path
    # The releases.
    published: list[Event]
    # The whole history.
    events: list[Event]
    # The history of the leg.
    leg: LegHistory
    # What the checker says.
    verdict: Verdict
    # The log of the monitor.
    monitor_log: str
    # The log of the server.
    server_log: str
    # How many pulls there were before the idle time.
    pulls_before_idle: int
    # When each process that ran at the end was started, by its id, because ids are used again.
    started: dict[int, str]
    # The monitor's options.
    options: list[str]

    def answers(self, client: str) -> list[Event]:
        """The answered predictions of one client, in time."""
        return [p for p in self.leg.predictions if p["client"] == client and "value" in p]


def start_of(pid: int) -> str:
    """Return when a process started, in ticks since the boot; "" if it is gone (proc(5), stat)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _ways() -> list[object]:
    """Return ``WAYS``. Ways that `make e2e` takes are long forms, except FTP with its password."""
    return [
        pytest.param(
            way,
            id="-".join(way),
            marks=[
                pytest.mark.xdist_group("-".join(way)),
                *([pytest.mark.proof] if way[1] in ("hdfs", "general") else []),
            ],
        )
        for way in WAYS
    ]


@pytest.fixture(scope="session", params=_ways())
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, releases: Releases
) -> Finished:
    """Remote, producer, monitor, server and three clients; three releases, then some idle polls."""
    name, kind = request.param
    folder = tmp_path_factory.mktemp(f"{name}-{kind}")
    history = History(folder / "history.jsonl")
    history.record("run", schema=SCHEMA, seed=1, remotes=[name])

    mark = new_mark()
    remote = named(name).local(folder / "remote", mark=mark)
    ready = ready_releases(releases.folder / "releases", folder / "unpacked")
    settings = LegSettings(releases=RELEASES, ready=ready, monitor_kind=kind, calm_s=0)
    running = RunningLeg(
        remote,
        [LocalServing(folder / "serving", binary=choose("embedded"), port=free_port(), mark=mark)],
        folder=folder,
        history=history,
        settings=settings,
        mark=mark,
    )
    with running:
        for _ in range(RELEASES - 1):
            running.publish()
        before = running.sides[0].monitor_log.read_text()
        pulls = before.count("pull remote model(")
        sleeps = before.count("sleep 1s.") + IDLE_POLLS
        wait_for(
            lambda: running.sides[0].monitor_log.read_text().count("sleep 1s.") >= sleeps,
            f"{IDLE_POLLS} polls of a donefile that does not change",
            60,
            alive=running.sides[0].monitor.check,
            log=running.sides[0].monitor_log,
        )
        # The producer has done its last pass and is gone.
        own = (running.sides[0].monitor, *running.sides[0].clients.values())
        pids = {pid for process in own for pid in process.pids}
        pids |= set(marked(running.mark))
        started = {pid: begun for pid in pids if (begun := start_of(pid))}
    history.record("leg_ended", remote=name)
    history.record("end")
    history.close()
    events = list(histories.read(history.path))
    return Finished(
        remote=name,
        kind=kind,
        folder=folder,
        published=running.published,
        events=events,
        leg=sort(events).legs[name],
        verdict=judge(events),
        monitor_log=running.sides[0].monitor_log.read_text(),
        server_log=running.sides[0].serving.log_file.read_text(),
        pulls_before_idle=pulls,
        started=started,
        options=remote.monitor_options(kind),
    )


def first_served(finished: Finished, client: str, release: Event) -> Optional[float]:
    """When a client was first answered with this release's prediction (monotonic seconds)."""
    index = [r["release"] for r in finished.published].index(release["release"])
    for answer in finished.answers(client):
        if index in finished.leg.releases_of(answer["value"]):
            return float(answer["answered"])
    return None
