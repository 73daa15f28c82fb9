"""What ``/healthz`` says of a model: well once its polls reach the remote, while they do."""

from __future__ import annotations

import pytest

from monitor._machine import Event
from monitor._metrics import ailing, healthy_for

from .fixtures import MODEL, Site
from .stepping import MakeWatch, poll

NOW = 1_800_000_000.0


def test_a_model_is_not_well_before_its_first_look_at_the_remote(
    watch: MakeWatch, site: Site
) -> None:
    site.status = 500
    one = watch(clock=lambda: NOW)
    assert ailing([one], NOW) == [f"{MODEL}: no look at the donefile yet; busy"]
    assert poll(one) is Event.REMOTE_FAILED
    (said,) = ailing([one], NOW)
    assert said.startswith(f"{MODEL}: no look at the donefile yet; ")
    assert "the server answered 500" in said


def test_a_model_is_well_after_a_look_also_where_nothing_was_published(watch: MakeWatch) -> None:
    one = watch(clock=lambda: NOW)
    poll(one)
    assert ailing([one], NOW) == []
    assert ailing([one], NOW + healthy_for(one)) == []
    later = NOW + healthy_for(one) + 1
    (said,) = ailing([one], later)
    assert f"no look at the donefile for {later - NOW:.0f} s" in said


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 2 * (60 + 30)),
        ({"check_timeout": "100"}, 2 * (60 + 30)),
        ({"check_timeout": "100", "check_command": "/bin/true"}, 2 * (60 + 30) + 100),
    ],
    ids=["neither", "a-time-out-without-a-command", "both"],
)
def test_the_time_of_a_check_counts_only_where_there_is_one(
    given: dict[str, str], seconds: float, watch: MakeWatch
) -> None:
    one = watch(interval="10", backoff_max="60", timeout="30", **given)
    assert healthy_for(one) == seconds
