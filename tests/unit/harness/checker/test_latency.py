"""The claim "latency at a swap" over generated histories, and what is compared for it."""

from __future__ import annotations

import random
from typing import Any, Callable

import numpy
import pytest

from harness.checker.history import SCHEMA, Event
from harness.checker.latency import (
    MIN_SWAPS,
    NAME,
    Samples,
    judge_latency,
    quantile,
    rise,
    samples,
)
from harness.checker.leg_history import LegHistory
from harness.checker.outcome import Claim, Outcome
from harness.checker.run_history import sort

CLIENTS = ("brpc", "http", "grpc")
PERIOD = 0.015
EVERY_S = 4.0
WINDOW = 0.5


def since_reload(t: float) -> float:
    return t % EVERY_S


def nothing(_: float) -> float:
    return 0.0


def leg(
    swaps: int = 4,
    *,
    more: Callable[[float], float] = nothing,
    lag: Callable[[random.Random], float] = lambda draw: draw.uniform(5e-5, 2e-4),
    change: Callable[[list[Event]], list[Event]] = list,
) -> LegHistory:
    """A leg with a reload every 4 s from second 4 on, and a publishing in the second before.

    ``more`` is the latency that a request planned at a time has beside the usual 2 ms or so, in
    seconds; ``lag`` is the generator's. ``change`` changes the events at last.
    """
    draw = random.Random(17)
    settings = {"latency_window_s": WINDOW, "latency_rise_bound_s": 0.005, "tick_s": 1}
    events: list[Event] = [{"event": "run", "t": 0.0, "schema": SCHEMA, "remotes": ["ftp"]}]

    def add(event: str, t: float, **fields: object) -> None:
        events.append({"event": event, "t": t, "remote": "ftp", **fields})

    add("settings", 0.0, clients=list(CLIENTS), rtol=1e-5, **settings)
    for k in range(1, swaps + 1):
        t = EVERY_S * k
        add("publishing", t - 1)
        add("published", t - 0.5, release=k, digest=str(k), expected=[k], t_begin=t - 0.6,
            t_end=t - 0.5)  # fmt: skip
        add("server_log", t, line="W… begin reload model[uci_housing_model].")
    for client in CLIENTS:
        answered = 0.0
        for n in range(int(EVERY_S * (swaps + 1) / PERIOD)):
            planned = n * PERIOD
            sent = max(answered, planned + lag(draw))
            usual = 0.002 * draw.lognormvariate(0, 0.3)
            answered = sent + usual + more(planned)
            add("prediction", answered, client=client, n=n + 1, planned=planned, sent=sent,
                answered=answered, value=[1.0])  # fmt: skip
    return sort(change(events)).legs["ftp"]


def judged(**story: object) -> Claim:
    claim = judge_latency(leg(**story))  # type: ignore[arg-type]
    assert claim.name == NAME
    return claim


def in_window(t: float) -> bool:
    return t >= EVERY_S and since_reload(t) < WINDOW


def test_no_shift_is_valid() -> None:
    claim = judged()
    assert claim.outcome is Outcome.VALID, claim
    assert "of 4 swaps" in claim.why


def test_a_shift_of_20_ms_in_the_swap_windows_is_found() -> None:
    claim = judged(more=lambda t: 0.02 if in_window(t) else 0.0)
    assert claim.outcome is Outcome.INVALID, claim
    assert len(claim.records) == 12
    assert all(record["rise_ms"] > 15 for record in claim.records)


def test_a_server_that_blocks_for_150_ms_at_each_swap_is_found() -> None:
    claim = judged(more=lambda t: max(0.0, 0.15 - since_reload(t)) if t >= EVERY_S else 0.0)
    assert claim.outcome is Outcome.INVALID, claim


def test_a_shift_of_2_ms_is_within_the_bound() -> None:
    assert judged(more=lambda t: 0.002 if in_window(t) else 0.0).outcome is Outcome.VALID


def test_a_shift_at_one_of_four_swaps_is_not_enough_to_judge_all() -> None:
    claim = judged(more=lambda t: 0.02 if in_window(t) and t < 2 * EVERY_S else 0.0)
    assert claim.outcome is not Outcome.INVALID, claim


def test_a_shift_at_a_tick_without_a_swap_too_is_not_that_of_the_swap() -> None:
    claim = judged(more=lambda t: 0.011 if since_reload(t) % 1 < WINDOW and t % 4 < 2 else 0.0)
    assert claim.outcome is Outcome.UNKNOWN, claim
    assert "ticks without a swap" in claim.why


def test_a_shift_that_is_no_larger_than_the_noise_outside_is_unknown() -> None:
    slow = {n for n in range(2000) if random.Random(n).random() < 0.3}
    claim = judged(more=lambda t: 0.011 if in_window(t) or round(t / PERIOD) in slow else 0.0)
    assert claim.outcome is Outcome.UNKNOWN, claim
    assert "latency outside varies by 1" in claim.why


def test_too_few_swaps_are_unknown_and_counted() -> None:
    for swaps in (1, 2):
        claim = judged(swaps=swaps)
        assert claim.outcome is Outcome.UNKNOWN
        assert claim.why.startswith(f"{MIN_SWAPS} swaps with")
        assert claim.why.endswith(f"are needed, the run has {swaps}")


def test_three_swaps_with_small_rises_are_enough() -> None:
    claim = judged(swaps=3, more=lambda t: 0.0005 * (t // EVERY_S) if in_window(t) else 0.0)
    assert claim.outcome is Outcome.VALID, claim


def test_many_clients_of_few_swaps_prove_little() -> None:
    # Means of 4.2, 4.5 and 4.7 ms: the next swap may well be over the bound of 5 ms.
    claim = judged(swaps=3, more=lambda t: 0.0043 + 0.0003 * (t // EVERY_S) if in_window(t) else 0)
    assert claim.outcome is Outcome.UNKNOWN, claim


DRAWS: dict[str, Callable[[numpy.random.Generator, int], Any]] = {
    "normal": lambda draw, count: draw.normal(size=count),
    "heavy tails": lambda draw, count: draw.standard_t(2, count),
    "long on the right": lambda draw, count: draw.exponential(size=count) - numpy.log(2),
    "long on the left": lambda draw, count: numpy.log(2) - draw.exponential(size=count),
}


@pytest.mark.parametrize("swaps", [2, 3, 5, 20])
@pytest.mark.parametrize("shape", DRAWS)
def test_a_rise_of_the_bound_is_called_lower_in_one_of_twenty_runs_at_most(
    shape: str, swaps: int
) -> None:
    bound, runs = 0.005, 300
    draw = numpy.random.default_rng(17)
    lower = 0
    for _ in range(runs):
        # The clients of a swap have the swap's rise in common.
        rises = bound + 0.002 * DRAWS[shape](draw, swaps)
        lower += rise(clients_with(rises, draw)).high < bound
    # 5 %, and two standard errors of 300 runs.
    assert lower / runs < 0.05 + 0.025


def clients_with(rises: Any, draw: numpy.random.Generator) -> dict[str, Samples]:
    """Three clients with ten requests in each swap window, and ten outside of it."""
    reload = numpy.repeat(numpy.arange(len(rises)), 20)
    in_swap = numpy.arange(len(reload)) % 2 == 0
    nowhere = numpy.zeros(len(reload), dtype=bool)
    return {
        client: Samples(
            latency=0.02 + rises[reload] * in_swap + draw.normal(0, 1e-4, len(reload)),
            lag=numpy.full(len(reload), 1e-4),
            reload=reload,
            in_swap=in_swap,
            in_control=nowhere,
        )
        for client in CLIENTS
    }


def test_a_generator_that_lags_is_unknown_whatever_it_measured() -> None:
    for more in (nothing, lambda t: 0.02 if in_window(t) else 0.0):
        claim = judged(lag=lambda draw: 0.003 if draw.random() < 0.03 else 1e-4, more=more)
        assert claim.outcome is Outcome.UNKNOWN, claim
        assert "the load generator itself lags by 3.00 ms at p99" in claim.why


def test_a_generator_that_is_never_free_is_unknown() -> None:
    claim = judged(more=lambda _: 2 * PERIOD)
    assert claim.outcome is Outcome.UNKNOWN, claim
    assert "found their client free, too few" in claim.why


def test_a_closed_loop_is_unknown() -> None:
    def unplanned(events: list[Event]) -> list[Event]:
        return [{key: e[key] for key in e if key != "planned"} for e in events]

    claim = judged(change=unplanned)
    assert claim.outcome is Outcome.UNKNOWN
    assert "not open-loop" in claim.why


def test_the_same_history_gives_the_same_limits() -> None:
    assert judged() == judged()


def test_what_is_planned_while_a_release_is_made_is_left_out() -> None:
    planned = int(3 * EVERY_S / PERIOD)
    for one in samples(leg(swaps=2, more=lambda t: 0.01 if t % 4 >= 3 else 0.0)).values():
        # Half a second before each of two reloads.
        assert len(one.latency) == pytest.approx(planned - 2 * 0.5 / PERIOD, abs=2)
        assert (one.latency > 0.01).sum() == pytest.approx(4 * 0.5 / PERIOD, abs=2)


def test_windows_lie_after_reloads_and_controls_a_tick_later() -> None:
    one = samples(leg(swaps=3))["http"]
    # 0.55 s of requests each.
    assert one.in_swap.sum() == pytest.approx(3 * (WINDOW + 0.05) / PERIOD, abs=3)
    assert one.in_control.sum() == pytest.approx(3 * (WINDOW + 0.05) / PERIOD, abs=3)
    assert not (one.in_swap & one.in_control).any()
    assert set(one.reload) == {0, 1, 2}


def test_windows_of_a_merged_history_are_wider_by_the_error_of_its_clocks() -> None:
    error = 0.2

    def merged(events: list[Event]) -> list[Event]:
        return [*events, {"event": "merged", "t": 0.0, "worker": "w", "error_s": error}]

    # Behind the window of a client whose clock is 0.15 s ahead.
    def late(t: float) -> float:
        return 0.02 if t >= EVERY_S and 0.55 < since_reload(t) < 0.65 else 0.0

    one, alone = samples(leg(change=merged))["http"], samples(leg())["http"]
    assert one.in_swap.sum() == pytest.approx(alone.in_swap.sum() + 4 * 2 * error / PERIOD, abs=4)
    assert not (one.in_swap & one.in_control).any()
    outside = samples(leg(change=merged, more=late))["http"]
    assert (outside.latency[~outside.in_swap] < 0.02).all()


def test_failed_requests_and_outages_are_left_out() -> None:
    def with_faults(events: list[Event]) -> list[Event]:
        asked = [e for e in events if e["event"] == "prediction"]
        for request in asked[100:130]:
            del request["value"]
        return [*events, {"event": "outage", "t": 7.0, "remote": "ftp", "since": 6.0, "until": 7.0}]

    found, whole = samples(leg(swaps=2, change=with_faults)), samples(leg(swaps=2))
    lost = sum(len(whole[c].latency) - len(found[c].latency) for c in CLIENTS)
    assert lost == pytest.approx(30 + 3 * 1 / PERIOD, abs=4)


def test_without_windows_there_are_no_pairs() -> None:
    assert rise(samples(leg(swaps=0))).pairs == ()


@pytest.mark.parametrize(
    ("count", "share", "told"),
    [(100, 0.9, True), (99, 0.9, False), (1000, 0.99, True), (999, 0.99, False), (20, 0.5, True)],
)
def test_a_quantile_needs_ten_samples_beyond_it(count: int, share: float, told: bool) -> None:
    assert numpy.isnan(quantile(numpy.arange(count, dtype=float), share)) == (not told)
