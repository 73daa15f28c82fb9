"""A donefile that changes during the pull: the newest wins, and no release starves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.decisions.machine import Event, State
from monitor.process import once

from .fixtures import TARBALL, Site
from .stepping import MakeWatch, live, poll, release_in, until


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def test_a_donefile_that_changes_during_the_pull_starts_over_with_the_newer(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = watch()
    done: list[int] = []

    def publish_once() -> None:
        if not done:
            done.append(1)
            site.publish(2)

    site.during_get = publish_once
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2


def test_a_donefile_that_differs_at_each_look_costs_two_pulls_then_pauses(
    watch: MakeWatch, site: Site, lines: list[str]
) -> None:
    """A producer without manifests that publishes faster than a pull takes causes this."""
    site.publish(1, donefile=b"")
    looks = [0]

    def look() -> None:
        looks[0] += 1
        site.publish(looks[0], donefile=b"")
        os.utime(site.root / "donefile", (looks[0], looks[0]))

    site.during_get = look
    one = watch(interval="0.02", backoff_max="10")
    pauses: list[float] = []
    for _ in range(5):
        assert poll(one) is Event.MOVED_AGAIN
        pauses.append(one._pauses.sleep)
    assert [path for path, _ in site.seen].count(f"/{TARBALL}") == 6
    assert pauses[-1] > 4 * pauses[0]
    assert pauses[-1] > 0.1
    warnings = [line for line in lines if "the donefile changed" in line]
    assert len(warnings) == 5
    assert all(line.startswith("WARNING") for line in warnings)
    assert once(one) == 2
    site.during_get = None
    assert until(one, Event.SWAPPED)


def test_a_producer_that_is_faster_than_the_pull_starves_nobody(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    """The tarball that was opened stays what it was; its manifest's digest says so."""
    number = [1]
    site.publish(1)

    def publish() -> None:
        number[0] += 1
        site.publish(number[0])

    site.during_get = publish
    one = watch()
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 2
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 4


@pytest.mark.parametrize("then", ["gone", "an older one"])
def test_a_release_that_is_withdrawn_during_the_pull_is_not_installed(
    watch: MakeWatch, site: Site, then: str
) -> None:
    first = site.publish(1)
    one = watch()
    assert poll(one) is Event.SWAPPED

    def withdraw() -> None:
        site.publish(1, first)
        if then == "gone":
            (site.root / "donefile").unlink()

    for _ in range(2):
        site.publish(2)
        site.during_get = withdraw
        assert poll(one) is (Event.NO_DONEFILE if then == "gone" else Event.INSTALLED)


def test_a_fault_of_the_monitor_releases_all_and_goes_on_after_pauses(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    site.publish(1)
    one = watch(interval="1", backoff_max="100")
    pauses: list[float] = []
    for _ in range(4):
        one.machine.state = State.CHECK
        while one.machine.state is not State.STAGE:
            one.step()
        one.start_over()
        # mypy takes it for the state that the loop ended with.
        assert one.machine.state is State.IDLE  # type: ignore[comparison-overlap]
        left = [path.name for path in (tmp_path / "local").iterdir()]
        assert left == [".uci_housing_model.monitor"]
        pauses.append(one._pauses._retry_at)
        one._pauses._retry_at = 0.0
    assert pauses[3] - pauses[0] > 2
    one.machine.state = State.CHECK
    assert poll(one) is Event.SWAPPED
