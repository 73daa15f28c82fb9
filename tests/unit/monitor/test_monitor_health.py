"""What ``/healthz`` says of a model: it is healthy while its polls reach the remote."""

from __future__ import annotations

import time
from typing import Optional

import pytest

from harness.support.waits import wait_for
from monitor.decisions.machine import Event, State
from monitor.metrics import ailing, healthy_for

from .fixtures import MODEL, Site
from .stepping import MakeWatch, poll


def test_a_model_is_not_well_before_its_first_look_at_the_remote(
    watch: MakeWatch, site: Site
) -> None:
    site.status = 500
    one = watch()
    assert ailing([one], time.monotonic()) == [f"{MODEL}: no look at the donefile yet; busy"]
    assert poll(one) is Event.REMOTE_FAILED
    (said,) = ailing([one], time.monotonic())
    assert said.startswith(f"{MODEL}: no look at the donefile yet; ")
    assert "the server answered 500" in said


def test_a_model_is_well_after_a_look_also_where_nothing_was_published(watch: MakeWatch) -> None:
    one = watch(clock=lambda: 1_000_000_000.0)
    poll(one)
    looked = one.reporter.figures.last_life
    assert looked is not None
    assert ailing([one], looked) == []
    assert ailing([one], looked + healthy_for(one)) == []
    (said,) = ailing([one], looked + healthy_for(one) + 1)
    assert f"no look at the donefile for {healthy_for(one) + 1:.0f} s" in said


def test_a_model_is_well_as_long_as_a_release_comes_in(watch: MakeWatch, site: Site) -> None:
    one = watch()
    seen: list[Optional[float]] = []
    site.publish(1, size=3_000_000)

    def look() -> None:
        wait_for(lambda: one.reporter.figures.bytes_pulled > 100_000, "the first half", 10)
        seen.append(one.reporter.figures.last_life)

    site.during_get = look
    one.step()
    looked = one.reporter.figures.last_life
    one.step()
    assert looked is not None
    assert seen[0] is not None
    assert seen[0] > looked


@pytest.mark.parametrize(
    ("state", "given"), [(State.VERIFY, {"check_command": "/bin/true"}), (State.STAGE, {})]
)
def test_a_model_is_well_as_long_as_a_release_is_worked_on(
    watch: MakeWatch, site: Site, state: State, given: dict[str, str]
) -> None:
    # With a check command, VERIFY unpacks.
    one = watch(**given)
    site.publish(1)
    while one.machine.state is not state:
        one.step()
    before = one.reporter.figures.last_life
    one.step()
    assert before is not None
    assert one.reporter.figures.last_life is not None
    assert one.reporter.figures.last_life > before


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 2 * (60 + 30)),
        ({"check_timeout": "100"}, 2 * (60 + 30)),
        ({"check_timeout": "100", "check_command": "/bin/true"}, 2 * (60 + 30) + 100),
        ({"on_swap_timeout": "50", "on_swap": "/bin/true"}, 2 * (60 + 30)),
    ],
    ids=["neither", "a-time-out-alone", "a-check", "on-swap"],
)
def test_the_time_of_a_program_counts_only_where_there_is_one(
    given: dict[str, str], seconds: float, watch: MakeWatch
) -> None:
    one = watch(interval="10", backoff_max="60", timeout="30", **given)
    assert healthy_for(one) == seconds
