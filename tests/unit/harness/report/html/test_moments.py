"""What a release waits for: phases between moments that were seen, and no estimate for others."""

from __future__ import annotations

import pytest

from harness.checker.history import Event
from harness.checker.run_history import sort
from harness.report.moments import ANSWERED, MEANINGS, MOMENTS, Moments, moments
from tests.unit.harness.checker.test_verdict import Story

from .runs import whole_story


def _of(events: list[Event], index: int) -> Moments:
    return moments(sort(events).legs["ftp"], index)


def test_the_events_of_our_monitor_give_every_phase() -> None:
    second = _of(whole_story(), 1)
    assert [phase.name for phase in second.phases] == list(MEANINGS)
    assert [round(phase.seconds, 2) for phase in second.phases] == [
        *(0.02, 0.03, 0.04, 0.03, 0.08),  # to the swap
        *(0.4, 0.05, 0.05),  # tick, load, answer
    ]
    assert sum(phase.share for phase in second.phases) == pytest.approx(1)
    assert second.total == pytest.approx(0.7)


def test_what_was_not_seen_is_one_phase() -> None:
    second = _of(Story().events(), 1)
    assert [phase.name for phase in second.phases] == [
        "published → swapped",
        "swapped → tick",
        f"tick → {ANSWERED}",
    ]
    pull: Event = {
        "event": "monitor_log",
        "t": 4.1,
        "remote": "ftp",
        "line": "pull remote model(x).",
    }
    names = [phase.name for phase in _of([*Story().events(), pull], 1).phases]
    assert names[:2] == ["published → seen", "seen → swapped"]


@pytest.mark.parametrize("left_out", MOMENTS[1:])
def test_a_missing_moment_joins_the_phases_around_it(left_out: str) -> None:
    whole = _of(whole_story(), 1)
    at = {name: t for name, t in whole.at.items() if name != left_out}
    joined = Moments("ftp", 2, "", False, at, whole.answered)
    assert len(joined.phases) == len(whole.phases) - 1
    assert sum(p.seconds for p in joined.phases) == pytest.approx(whole.total)
    assert not any(left_out in phase.name for phase in joined.phases)


def test_of_a_repeated_pull_the_last_try_counts_and_the_first_sight() -> None:
    events = whole_story()
    for event in events:
        if event.get("what") == "pulled" and event["release"] == 2:
            again = {**event, "t": event["t"] + 0.01}
            failed = {**event, "what": "failed", "why": "connection reset"}
            seen = {**event, "what": "seen"}
    second = _of([*events, again, failed, seen], 1)
    assert second.at["pulled"] == pytest.approx(4.06)
    assert second.at["seen"] == pytest.approx(4.02)


def test_a_release_that_did_not_reach_all_clients_has_no_shares() -> None:
    story = Story()
    story.predictions = [p for p in story.predictions if p["client"] != "http" or p["t"] < 4.6]
    second = _of(story.events(), 1)
    assert second.total is None
    assert {phase.share for phase in second.phases} == {0.0}


def test_a_release_from_before_the_server_was_not_hot_loaded() -> None:
    first = _of(whole_story(), 0)
    assert first.at_start
    assert not first.whole
