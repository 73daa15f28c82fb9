"""After a fault a leg waits for a release as long as the checker's deadline lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checker.history import Event, History
from harness.faults.registry import make
from harness.remotes.ftp.local import LocalFtp
from harness.run.leg import Leg
from harness.run.leg_settings import LegSettings
from harness.run.targets import caused
from harness.serving.running import RunningServing
from harness.support.process import Process


@pytest.fixture
def leg(tmp_path: Path) -> Iterator[Leg]:
    """A leg with two servers. Only the remote and the first monitor run."""
    remote = LocalFtp(tmp_path / "ftp")
    (tmp_path / "live").mkdir()
    servings = [
        RunningServing("127.0.0.1", 1, live_dir=tmp_path / "live" / n, log_file=tmp_path / n)
        for n in "12"
    ]
    history = History(tmp_path / "history.jsonl")
    settings = LegSettings(monitor_cmd="sh -c 'sleep 60'", producer_cmd="true")
    made = Leg(
        remote, servings, folder=tmp_path, history=history, settings=settings, mark="outages"
    )
    remote.start()
    try:
        remote.ready()
        made.sides[0].monitor.start()
        yield made
    finally:
        made.sides[0].monitor.stop()
        remote.stop()
        history.close()


@pytest.mark.parametrize(
    ("target", "waiting"),
    [("remote", [["brpc"], ["brpc"]]), ("ftp", [["brpc"], ["brpc"]]), ("monitor", [["brpc"], []])],
)
def test_the_bound_of_a_release_begins_again_after_an_outage(
    leg: Leg, target: str, waiting: list[list[str]]
) -> None:
    published = time.monotonic() - 2 * leg.settings.bound_s
    release: Event = {"expected": [2.0], "t_begin": published, "t_end": published}
    for side in leg.sides:
        side.clients["brpc"] = Process("a client", ["true"], log=leg.folder / "client.log")
        side.answers.expect(release["expected"], published)
    with caused(make("pause", {"target": target}), leg):
        pass
    for side in leg.sides:
        for sent in (published, time.monotonic()):
            side.history.record(
                "prediction", remote="ftp", client="brpc", sent=sent, answered=sent, value=[1.0]
            )
    assert [side.waiting_for(release) for side in leg.sides] == waiting
