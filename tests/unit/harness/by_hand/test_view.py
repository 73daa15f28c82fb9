"""What a history shows so far: the live release, the answers, the load."""

from __future__ import annotations

from harness.by_hand.view import View
from harness.checker.history import Event
from monitor.decisions.machine import State


def published(release: int, value: float, **more: object) -> Event:
    """A release that predicts ``value``."""
    event = {"event": "published", "release": release, "digest": f"digest {release}"}
    return {**event, "t": release, "t_end": release, "expected": [value], **more}


def swapped(release: int, t: float) -> Event:
    return {"event": "swapped", "t": t, "digest": f"digest {release}", "second": 1}


def answer(client: str, t: float, value: float) -> Event:
    return {"event": "prediction", "t": t, "client": client, "answered": t, "value": [value]}


def view_of(*events: Event) -> View:
    view = View()
    for event in events:
        view.take(event)
    return view


def test_the_live_release_is_that_of_the_last_swap() -> None:
    view = view_of(published(1, 5.0), swapped(1, 1.5), published(2, 6.0), swapped(2, 2.5))
    assert (view.live, view.swapped) == (2, 2.5)

    view.take(swapped(1, 3.5))
    assert view.live == 1


def test_a_swap_before_the_report_of_the_producer_counts() -> None:
    view = view_of(swapped(1, 0.5))
    assert view.live == 0
    view.take(published(1, 5.0))
    assert view.live == 1


def test_unknown_files_are_no_release() -> None:
    bad = published(2, 6.0, digest="", expected=[], bad="corrupt")
    view = view_of(published(1, 5.0), bad, swapped(7, 2.5))
    assert view.live == 0
    assert view.published[2].label == "release 2 (bad: corrupt)"


def test_all_clients_have_a_release() -> None:
    view = view_of(published(1, 5.0), published(2, 6.0), answer("http", 3.0, 6.000001))
    assert view.served_by_all(2)

    view.take(answer("grpc", 3.1, 5.0))
    assert not view.served_by_all(2)
    assert view.clients["grpc"].last == (3.1, 5.0, 1)


def test_an_answer_of_no_release_is_told_as_such() -> None:
    view = view_of(published(1, 5.0), answer("http", 3.0, 5.1))
    last = view.clients["http"].last
    assert last is not None
    assert last.release == 0


def test_a_failed_request_counts_as_failed_and_not_as_load() -> None:
    failed = {"event": "prediction", "t": 4.0, "client": "http", "answered": 4.0, "error": "gone"}
    view = view_of(published(1, 5.0), answer("http", 3.0, 5.0), answer("http", 3.5, 5.0), failed)

    assert (view.asked, view.failed, view.clients["http"].error) == (3, 1, "gone")
    assert view.rate(4.0) == 2 / 5.0
    assert view.rate(8.2) == 1 / 5.0


def test_the_event_file_lights_each_state_of_the_monitor() -> None:
    moments = ["seen", "pulled", "verified", "staged", "swapped", "served"]
    told = [
        {"event": "monitor_event", "t": float(number), "what": what}
        for number, what in enumerate(moments, 1)
    ]
    states = [State.CHECK, State.PULL, State.VERIFY, State.STAGE, State.SWAP]
    assert view_of(*told).entered == {state: number for number, state in enumerate(states, 1)}
