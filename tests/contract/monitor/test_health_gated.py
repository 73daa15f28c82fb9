"""``--on_bad_release=rollback`` beside real servers that are broken in each way."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.conformance.serving.server import Launched
from harness.support.waits import wait_for
from monitor.decisions.machine import Event
from monitor.decisions.serving import Phase
from monitor.live.state import read_installed, read_quarantine
from tests.contract.monitor.beside_a_server import (
    BESIDE_A_SERVER,
    EXPECTED,
    Scene,
    engine_pid,
    events,
    files,
    probe,
    publish,
)
from tests.unit.monitor.fixtures import Site, manifest_of, tarball
from tests.unit.monitor.stepping import poll

pytestmark = BESIDE_A_SERVER


def publish_with(site: Site, number: int, model: dict[str, bytes], expected: float) -> None:
    packed = tarball(model)
    told = {"feed": EXPECTED["feed"], "expected": {EXPECTED["fetch"]: [[expected]]}}
    site.publish(number, packed, donefile=manifest_of(number, packed, probe=told))


def goes_back(scene: Scene, number: int, bad: int) -> str:
    """Step until release ``number`` is live and served again; return why ``bad`` is out."""

    def back() -> bool:
        scene.confirmer.step()
        identity = read_installed(scene.watch.layout.live).identity
        return identity is not None and identity.release == number

    wait_for(back, f"release {number} to be live again", 60, last_seen=scene.phase)
    quarantine = read_quarantine(scene.watch.layout.quarantine)
    assert quarantine is not None
    assert quarantine.identity.release == bad
    assert poll(scene.watch) is Event.QUARANTINED
    assert scene.figures.rollbacks == 1
    scene.becomes(Phase.SERVED)
    return quarantine.reason


def served(server: Launched, site: Site, number: int, /, **given: object) -> Scene:
    """Return a scene with a release that the server serves."""
    one = Scene(server, site, on_bad_release="rollback", **given)
    publish(site, number)
    assert poll(one.watch) is Event.SWAPPED
    one.becomes(Phase.SERVED)
    return one


@pytest.mark.parametrize("by", ["probe", pytest.param("log", marks=pytest.mark.proof)])
def test_a_release_that_aborts_the_server_is_taken_back_and_the_server_comes_up(
    supervised: Launched, site: Site, tmp_path: Any, by: str
) -> None:
    told = tmp_path / "events.jsonl"
    given: dict[str, object] = {"event_file": str(told)}
    if by == "log":
        # A long limit, so that the start in the log condemns the release, and not the time.
        given.update(server="", server_log=str(supervised.log_file()), served_within="60")
    one = served(supervised, site, 1, **given)
    try:
        publish_with(site, 2, {**files(2), "params.pdiparams": b"garbage" * 100}, 1.0)
        assert poll(one.watch) is Event.SWAPPED
        assert "the server ended after the swap" in goes_back(one, 1, 2)
        moments = [line["event"] for line in events(told)]
        assert moments[-3:] == ["quarantined", "rolled_back", "served"]
        # The next good release goes in as ever.
        publish(site, 4)
        assert poll(one.watch) is Event.SWAPPED
        assert one.becomes(Phase.SERVED) == ""
    finally:
        one.close()


@pytest.mark.proof
def test_a_release_that_answers_otherwise_than_promised_is_taken_back(
    supervised: Launched, site: Site
) -> None:
    one = served(supervised, site, 11, served_within="4")
    try:
        publish_with(site, 12, files(12), 12345.0)
        assert poll(one.watch) is Event.SWAPPED
        assert "still answers as another release" in goes_back(one, 11, 12)
    finally:
        one.close()


@pytest.mark.proof
def test_a_release_with_which_the_server_is_stuck_is_taken_back(
    supervised: Launched, site: Site
) -> None:
    one = served(supervised, site, 21, served_within="2")
    pid = engine_pid(supervised)
    try:
        publish(site, 22)
        assert poll(one.watch) is Event.SWAPPED
        os.kill(pid, signal.SIGSTOP)
        said: list[str] = []

        def condemned() -> bool:
            one.confirmer.step()
            found = read_quarantine(one.watch.layout.quarantine)
            said[:] = [found.reason] if found else []
            return bool(said)

        wait_for(condemned, "the release to be condemned", 60)
        assert "is stuck" in said[0]
    finally:
        os.kill(pid, signal.SIGCONT)
        one.close()


def test_a_server_that_failed_before_the_swap_condemns_no_release(
    supervised: Launched, site: Site
) -> None:
    one = Scene(
        supervised, site, on_bad_release="rollback", server="http://127.0.0.1:1", served_within="1"
    )
    # The test before has left this file: its last release was served.
    Path(one.watch.layout.serving).unlink(missing_ok=True)
    try:
        for number in (31, 32):
            packed = tarball(files(number))
            donefile = manifest_of(number, packed, probe=probe(number))
            site.publish(number, packed, donefile=donefile)
            assert poll(one.watch) is Event.SWAPPED
            assert "Connection refused" in one.becomes(Phase.LATE)
            one.confirmer.step()
        identity = read_installed(one.watch.layout.live).identity
        assert identity is not None
        assert identity.release == 32
        assert one.figures.rollbacks == 0
    finally:
        one.close()
