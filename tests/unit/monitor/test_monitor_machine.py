"""The state machine and the pure decisions beside it: every row, every case."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Optional

import pytest

from monitor.decisions import schedule
from monitor.decisions.identity import Identity, identify, superseded
from monitor.decisions.machine import TABLE, Event, Machine, Row, State, Wait, as_markdown, judge
from monitor.decisions.pauses import Pauses
from monitor.manifest import Manifest

ONE = Identity("one", 1)
TWO = Identity("two", 2)


def test_it_begins_with_a_look_at_the_donefile() -> None:
    assert Machine().state is State.CHECK


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.state.name}-{row.event.name}")
def test_every_row_is_taken_as_it_stands(row: Row) -> None:
    machine = Machine()
    machine.state = row.state
    assert machine.take(row.event) == row
    assert machine.state is row.then


def test_an_event_that_a_state_does_not_know_is_a_mistake_and_changes_nothing() -> None:
    known = {(row.state, row.event) for row in TABLE}
    for state, event in itertools.product(State, Event):
        if (state, event) not in known:
            machine = Machine()
            machine.state = state
            with pytest.raises(KeyError):
                machine.take(event)
            assert machine.state is state


def test_only_swap_comes_to_a_changed_live_directory_and_every_failure_to_idle() -> None:
    for row in TABLE:
        if row.event is Event.SWAPPED:
            assert row.state is State.SWAP
        if row.event in (Event.REMOTE_FAILED, Event.MACHINE_FAILED, Event.BAD_RELEASE):
            assert row.then is State.IDLE
            growing = row.wait in (Wait.BACKOFF, Wait.RETRY)
            assert growing == (row.event is not Event.BAD_RELEASE)
        assert (row.then is State.IDLE) == (row.wait is not Wait.NONE)


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.CHECK}
    for _ in State:
        reached |= {row.then for row in TABLE if row.state in reached}
    assert reached == set(State)
    assert {row.state for row in TABLE} == set(State) - {State.ENDED}


def test_a_stop_ends_every_state_and_a_mistake_of_the_monitor_leads_to_idle() -> None:
    for state in set(State) - {State.ENDED}:
        machine = Machine()
        machine.state = state
        assert machine.take(Event.UNFORESEEN).then is State.IDLE
        machine.state = state
        assert machine.take(Event.STOP).then is State.ENDED


def verdict(
    announced: Optional[Identity],
    installed: Optional[Identity] = None,
    held: Optional[Identity] = None,
    *flags: str,
) -> Event:
    return judge(
        announced,
        installed=installed,
        recheck="recheck" in flags,
        held=held,
        quarantined="quarantined" in flags,
        backing_off="backing_off" in flags,
        settling="settling" in flags,
    )


def test_what_is_announced_and_not_installed_is_announced() -> None:
    assert verdict(ONE) is Event.ANNOUNCED
    assert verdict(ONE, TWO) is Event.ANNOUNCED
    assert verdict(ONE, ONE, None, "recheck") is Event.ANNOUNCED
    assert verdict(ONE, ONE, ONE, "recheck") is Event.HELD
    assert verdict(ONE, TWO, TWO) is Event.ANNOUNCED


def test_an_older_number_installs_when_it_is_announced() -> None:
    assert verdict(ONE, TWO) is Event.ANNOUNCED


def test_identities_are_compared_by_what_they_say() -> None:
    assert verdict(Identity("one", 1), Identity("one", 1)) is Event.INSTALLED
    assert verdict(Identity("one", 1), None, Identity("one", 1)) is Event.HELD
    assert verdict(Identity("one", 1), Identity("one", 2)) is Event.ANNOUNCED


def test_without_a_donefile_nothing_else_counts() -> None:
    assert verdict(None, None, None) is Event.NO_DONEFILE
    every = ("quarantined", "backing_off", "settling")
    assert verdict(None, ONE, ONE, *every) is Event.NO_DONEFILE


def test_what_stands_in_the_way_of_a_release_has_an_order() -> None:
    every = ("quarantined", "backing_off", "settling")
    assert verdict(ONE, ONE, ONE, *every) is Event.HELD
    assert verdict(ONE, TWO, ONE) is Event.HELD
    assert verdict(ONE, ONE, None, *every) is Event.INSTALLED
    assert verdict(ONE, ONE, TWO, *every) is Event.INSTALLED
    assert verdict(ONE, TWO, None, *every) is Event.QUARANTINED
    assert verdict(ONE, TWO, None, *every[1:]) is Event.BACKING_OFF
    assert verdict(ONE, TWO, None, *every[2:]) is Event.SETTLING


def test_what_stands_in_the_way_has_to_be_named() -> None:
    with pytest.raises(TypeError, match="positional"):
        judge(ONE, None, False, None, True, False, False)  # type: ignore[misc]


def test_with_a_manifest_number_and_digest_are_the_identity() -> None:
    def of(
        release: int, sha256: str, size: int = 1, content: bytes = b"", mark: str = ""
    ) -> Identity:
        return identify(content, mark, Manifest(release, "t", size, sha256, {}))

    assert of(1, "a") == of(1, "a", 2, b"other", "other")
    assert of(1, "a") != of(1, "b")
    assert of(1, "a") != of(2, "a")
    assert of(7, "a").release == 7
    assert of(7, "a").key == "7-a"


def test_without_a_manifest_content_and_mark_are_the_identity() -> None:
    assert identify(b"", "m", None) == identify(b"", "m", None)
    assert identify(b"", "m", None) != identify(b"", "n", None)
    assert identify(b"x", "m", None) != identify(b"y", "m", None)
    assert identify(b"xm", "", None) != identify(b"x", "m", None)
    assert identify(b"", "\udcff", None).release is None


def test_a_release_is_superseded_by_a_greater_number_only() -> None:
    assert superseded(ONE, TWO)
    assert not superseded(TWO, ONE)
    assert not superseded(ONE, Identity("other", 1))
    assert not superseded(ONE, None)
    assert not superseded(ONE, Identity("without a number"))
    assert not superseded(Identity("without a number"), ONE)


def test_rows_and_identities_are_values_that_nobody_can_change() -> None:
    for value, name in ((ONE, "key"), (TABLE[0], "then")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
    assert len({ONE, Identity("one", 1), TWO}) == 2


def test_an_identity_has_a_short_name() -> None:
    assert ONE.label == "release 1"
    assert Identity("0123456789").label == "donefile 01234567"
    assert Identity("k", 0).label == "release 0"


def test_an_identity_survives_json() -> None:
    for identity in (ONE, Identity("k")):
        assert Identity.from_json(identity.to_json()) == identity
    assert Identity.from_json({"key": "k", "release": "1"}) == Identity("k")
    odd: tuple[object, ...] = (None, [], "key", {}, {"key": 1}, {"release": 1})
    for nonsense in odd:
        assert Identity.from_json(nonsense) is None


def test_the_documentation_s_table_has_every_row_once() -> None:
    lines = as_markdown().splitlines()
    assert lines[0] == "| state of the monitor | what happens | next state | pause before it |"
    assert lines[1] == "| --- | --- | --- | --- |"
    assert lines[2] == (
        "| IDLE: sleeps until the next poll | the time for the next poll has come | CHECK | none |"
    )
    assert len(lines) == 2 + len(TABLE) == 2 + len(set(lines[2:]))


class TestPauses:
    """The seconds of each wait in the table."""

    @staticmethod
    def sleep_after(pauses: Pauses, wait: Wait, settling: float = 0.0, now: float = 100.0) -> float:
        row = next(row for row in TABLE if row.wait is wait)
        pauses.after(row, ONE, now, settling)
        return pauses.sleep

    @pytest.mark.parametrize("wait", [Wait.INTERVAL, Wait.INTERVAL_RESET])
    def test_an_interval_is_one_interval(self, wait: Wait) -> None:
        assert self.sleep_after(Pauses(10.0, 60.0), wait) == 10.0

    @pytest.mark.parametrize(("settling", "seconds"), [(3.0, 3.0), (30.0, 10.0), (0.0, 0.01)])
    def test_settling_lasts_as_long_as_is_left_at_most_one_interval(
        self, settling: float, seconds: float
    ) -> None:
        assert self.sleep_after(Pauses(10.0, 60.0), Wait.UNTIL_SETTLED, settling) == seconds

    def test_a_failed_release_is_tried_again_when_its_own_pause_is_over(self) -> None:
        pauses = Pauses(10.0, 60.0)
        pause = self.sleep_after(pauses, Wait.RETRY)
        assert 5.0 < pause <= 10.0
        assert pauses.backing_off(100.0)
        assert not pauses.backing_off(100.0 + pause)
        left = self.sleep_after(pauses, Wait.UNTIL_RETRY, now=101.0)
        assert left == pytest.approx(pause - 1.0)
        assert self.sleep_after(pauses, Wait.UNTIL_RETRY, now=200.0) == 0.01

    def test_the_donefile_is_polled_once_an_interval_during_a_longer_pause(self) -> None:
        pauses = Pauses(10.0, 60.0)
        for _ in range(4):
            assert self.sleep_after(pauses, Wait.RETRY) <= 10.0
        assert pauses.backing_off(100.0 + 29.0)
        assert self.sleep_after(pauses, Wait.UNTIL_RETRY) == 10.0

    def test_another_release_does_not_wait_for_the_pause_of_the_failed_one(self) -> None:
        pauses = Pauses(10.0, 60.0)
        self.sleep_after(pauses, Wait.RETRY)
        pauses.announced(ONE)
        assert pauses.backing_off(100.0)
        pauses.announced(TWO)
        assert not pauses.backing_off(100.0)

    def test_a_failure_without_a_release_blames_no_release(self) -> None:
        pauses = Pauses(10.0, 60.0)
        for _ in range(4):
            pause = self.sleep_after(pauses, Wait.BACKOFF)
        assert pause > 30.0
        assert not pauses.backing_off(100.0)
        self.sleep_after(pauses, Wait.INTERVAL_RESET)
        assert self.sleep_after(pauses, Wait.BACKOFF) <= 10.0

    @pytest.mark.parametrize(
        "row", [row for row in TABLE if row.state in (State.CHECK, State.PULL)],
        ids=lambda row: f"{row.state.name}-{row.event.name}",
    )  # fmt: skip
    def test_only_a_donefile_at_rest_ends_the_pauses_of_one_that_moves(self, row: Row) -> None:
        moving = (Event.ANNOUNCED, Event.MOVED, Event.MOVED_AGAIN, Event.BAD_RELEASE, Event.STOP)
        failed = (Event.REMOTE_FAILED, Event.MACHINE_FAILED, Event.UNFORESEEN)
        pauses = Pauses(10.0, 60.0)
        pauses.after(Row(State.PULL, Event.MOVED, State.CHECK), ONE, 100.0, 0.0)
        for _ in range(4):
            self.sleep_after(pauses, Wait.MOVES)
        pauses.after(row, ONE, 100.0, 0.0)
        assert pauses.moved == (row.event in (*moving, *failed))
        assert (self.sleep_after(pauses, Wait.MOVES) > 10.0) == pauses.moved


class TestBackoff:
    """Pauses after failures."""

    def test_it_doubles_up_to_its_cap_and_no_pause_is_less_than_half(self) -> None:
        backoff = schedule.Backoff(1.0, 10.0, seed=1)
        for full in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
            assert full / 2 < backoff.fail() <= full

    def test_it_is_spread(self) -> None:
        pauses = {schedule.Backoff(1.0, 10.0, seed=seed).fail() for seed in range(200)}
        assert len(pauses) == 200
        assert min(pauses) < 0.55
        assert max(pauses) > 0.95

    def test_it_starts_anew_when_cleared(self) -> None:
        backoff = schedule.Backoff(1.0, 100.0)
        for _ in range(5):
            backoff.fail()
        assert backoff.failures == 5
        backoff.clear()
        assert backoff.failures == 0
        assert backoff.fail() <= 1.0

    def test_a_cap_below_the_base_is_the_base(self) -> None:
        assert schedule.Backoff(5.0, 1.0).cap == 5.0

    def test_a_remote_that_is_dead_for_years_overflows_nothing(self) -> None:
        backoff = schedule.Backoff(1.0, 60.0)
        backoff.failures = 10**6
        assert 30 <= backoff.fail() <= 60


@pytest.mark.parametrize(
    ("interval", "cap"), [(0.1, 1.0), (1.0, 10.0), (6.0, 60.0), (10.0, 60.0), (300.0, 300.0)]
)
def test_the_longest_pause_is_ten_intervals_at_most_a_minute_at_least_one(
    interval: float, cap: float
) -> None:
    assert schedule.default_cap(interval) == pytest.approx(cap)


@pytest.mark.parametrize(
    ("swapped", "now", "left"),
    [
        (None, 100.0, 0.0),
        (100.0, 100.0, 30.0),
        (100.0, 129.0, 1.0),
        (100.0, 130.0, 0.0),
        (100.0, 130.5, 0.0),
        (100.0, 500.0, 0.0),
        (100.0, 99.0, 0.0),
    ],
)
def test_settle_counts_from_the_last_swap(
    swapped: Optional[float], now: float, left: float
) -> None:
    assert schedule.settle_left(30.0, swapped, now) == left


def splay_of(server: str, release: str) -> float:
    splay = schedule.Splay(300.0, server)
    splay.begin(release, 1000.0)
    return splay.left(1000.0)


def test_servers_are_spread_evenly_and_each_keeps_its_delay() -> None:
    delays = sorted(splay_of(f"server {n}", "1-abc") for n in range(300))
    assert all(abs(delay - n) < 30 for n, delay in enumerate(delays)), delays
    assert splay_of("server 1", "1-abc") == splay_of("server 1", "1-abc")
    assert splay_of("server 1", "1-abc") != splay_of("server 1", "2-abc")


def test_a_release_during_the_delay_starts_no_other_delay() -> None:
    splay = schedule.Splay(300.0, "server")
    splay.begin("1-abc", 1000.0)
    left = splay.left(1000.0)
    splay.begin("2-abc", 1000.0 + left / 2)
    assert splay.left(1000.0 + left / 2) == pytest.approx(left / 2)
    assert splay.left(1.0) == pytest.approx(left + 999.0)
    assert splay.left(1000.0 + left) == splay.left(1001.0 + left) == 0.0
    splay.end()
    assert splay.left(1000.0) == 0.0


@pytest.mark.parametrize(
    ("now", "last", "current", "second"),
    [
        (100.9, None, None, 100),
        (100.0, 99, 99, 100),
        (100.0, 100, 50, 101),
        (100.0, 50, 100, 101),
        (100.0, 200, 150, 201),
        (100.0, None, 300, 301),
        (0.0, 0, None, 1),
        (0.0, 101, None, 102),
        (0.0, None, 103, 104),
    ],
)
def test_the_second_is_now_or_one_more_than_any_that_was_used(
    now: float, last: Optional[int], current: Optional[int], second: int
) -> None:
    assert schedule.next_second(now, last, current) == second
