"""The clocks of workers: what their exchanges with the master's clock show, and what they hide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from harness.checker.clock import Clock, Exchange, estimate
from harness.checker.history import Event
from harness.checker.outcome import Outcome
from harness.checker.verdict import judge
from harness.support.errors import BadInput
from tests.unit.harness.checker.test_verdict import PRICES, Story

DELAYS = st.floats(0, 0.05)


@dataclass(frozen=True)
class Worker:
    """A machine whose clock is shifted and runs ``rate`` seconds for each of the master's."""

    # How far its clock is ahead, in seconds.
    shift: float
    rate: float

    def local(self, master: float) -> float:
        return self.shift + master * self.rate

    def asks(self, master: float, there: float, back: float) -> Exchange:
        """Return the exchange that begins at the master's time."""
        end = master + there + back
        return Exchange(self.local(master), master + there, self.local(end))


WORKERS = st.builds(Worker, st.floats(-1e6, 1e6), st.floats(1 - 5e-4, 1 + 5e-4))
EXCHANGES = st.lists(st.tuples(st.floats(0, 100), DELAYS, DELAYS), max_size=20)


@seed(17)
@settings(max_examples=300, deadline=None)
@given(WORKERS, st.lists(DELAYS, min_size=4, max_size=4), EXCHANGES, st.floats(-50, 150))
def test_the_clock_is_found_within_the_stated_error(
    worker: Worker, ends: list[float], between: list[tuple[float, float, float]], t: float
) -> None:
    asked = [worker.asks(0, *ends[:2]), worker.asks(100, *ends[2:])]
    asked += [worker.asks(*exchange) for exchange in between]
    begin, end = worker.local(min(0, t)), worker.local(max(100.2, t))
    clock = estimate(asked, begin, end)
    for moment in (t, 0, 33, 50, 100):
        assert abs(clock.on_master(worker.local(moment)) - moment) <= clock.error_s
    # At most 50 s outside of exchanges that are at least 33 s apart.
    longest = max(sum(ends[:2]), sum(ends[2:]))
    assert clock.error_s <= 2e-6 + 2.51 * longest


def test_the_shortest_round_trips_count() -> None:
    worker = Worker(5000, 1 + 1e-4)
    asked = [worker.asks(t, 0.001, 0.001 if t in (1, 99) else 0.2) for t in range(101)]
    clock = estimate(asked, worker.local(0), worker.local(100))
    assert clock.error_s < 0.0011
    assert clock.drift == pytest.approx(-1e-4, abs=3e-5)
    assert clock.offset_s == pytest.approx(-5000, abs=0.002)


def test_a_rate_that_changes_is_part_of_the_error() -> None:
    exchanges = [Worker(0, 1).asks(t, 0.001, 0.001) for t in range(101)]
    # In the middle the clock is 0.3 s ahead.
    exchanges[50] = Worker(0.3, 1).asks(50, 0.001, 0.001)
    clock = estimate(exchanges, 0, 100)
    assert 0.298 <= clock.error_s <= 0.3


@pytest.mark.parametrize("times", [[], [0], [50, 50.1]])
def test_too_few_exchanges_are_bad_input(times: list[float]) -> None:
    asked = [Worker(7, 1).asks(t, 0.05, 0.05) for t in times]
    with pytest.raises(BadInput, match="clock records in"):
        estimate(asked, 0, 100)


def test_each_time_of_an_event_moves_and_nothing_else() -> None:
    clock = Clock(since=100, offset_s=10, drift=0.5)
    asked = {"event": "prediction", "t": 104, "n": 3, "planned": 102, "sent": 103, "answered": 104}
    assert clock.shifted(asked) == {
        **{"event": "prediction", "t": 116, "n": 3},
        **{"planned": 113, "sent": 114.5, "answered": 116},
    }
    ended = {"event": "client_ended", "t": 104, "asked": 3, "planned": 102}
    assert clock.shifted(ended) == {**ended, "t": 116}


def merged(story: Story, error_s: float) -> list[Event]:
    event = {"event": "merged", "t": 0.0, "worker": "w", "offset_s": 0.0, "drift": 0.0}
    return [*story.events(), {**event, "error_s": error_s}]


def broken(story: Story, error_s: float) -> set[str]:
    return {claim.name for claim in judge(merged(story, error_s)).broken}


# The first answer with release 2 comes at 4.7 s, to each client; from 5.2 s on none may be older.
SETTLED_S = 5.2


def step_back(late_s: float, *, own: bool) -> Story:
    """Return a story in which the http client is sent back to release 1, a time after 5.2 s.

    Args:
        late_s: The seconds from 5.2 s to the request.
        own: Whether the client saw release 2 itself before.
    """
    story = Story()
    # The http client is answered with release 2 once before the request, or not at all.
    silent_since = 4.75 if own else 4.65
    story.predictions = [
        prediction
        for prediction in story.predictions
        if prediction["client"] != "http"
        or not silent_since < prediction["answered"] < SETTLED_S + 1
    ]
    sent = SETTLED_S + late_s
    times = {"t": sent + 0.01, "sent": sent, "answered": sent + 0.01}
    back = {"event": "prediction", "remote": "ftp", "client": "http", "n": 99, **times}
    story.predictions.append({**back, "value": [PRICES[1]]})
    return story


@pytest.mark.parametrize("error_s", [0.0, 0.01, 0.1, 0.3])
def test_a_step_back_is_found_if_it_is_larger_than_the_error(error_s: float) -> None:
    # Each of two clients' clocks may be wrong by the error.
    assert broken(step_back(2 * error_s + 0.001, own=False), error_s) == {"no step back"}
    assert broken(step_back(2 * error_s - 0.001, own=False), error_s) == set()


def test_the_order_of_one_client_needs_no_allowance() -> None:
    assert broken(step_back(0.001, own=True), 0.3) == {"no step back"}


def moved(events: list[Event], by: float) -> Iterator[Event]:
    """Yield the events with those of the http client moved in time."""
    clock = Clock(0, by, 0)
    for event in events:
        yield clock.shifted(event) if event.get("client") == "http" else event


@pytest.mark.parametrize("by", [-0.9, 0.9])
def test_an_error_of_the_clock_is_no_false_alarm(by: float) -> None:
    assert judge(moved(Story().events(), by)).broken
    assert not judge(moved(merged(Story(), 0.9), by)).broken


def test_the_times_of_a_worker_that_was_not_merged_are_not_judged() -> None:
    clock = {"event": "clock", "worker": "w", "t": 0.0, "asked": 0.0, "master": 5.0}
    verdict = judge([*Story().events(), clock])
    assert verdict.outcome is Outcome.UNKNOWN
    assert "harness merge" in verdict.evidence


def test_a_client_of_another_machine_without_an_end_is_unknown() -> None:
    story = Story()
    first = next(one for one in story.predictions if one["client"] == "http")
    story.predictions.append({**first, "client": "locust-1"})
    verdict = judge(merged(story, 0.001))
    assert verdict.outcome is Outcome.UNKNOWN
    assert "locust-1 did not come to an end" in verdict.evidence
