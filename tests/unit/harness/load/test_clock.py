"""The master's clock over TCP, asked from this machine: the offset is 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checker.clock import estimate, exchange_in
from harness.checker.history import History, read
from harness.load.clock import ClockServer, record_clock
from harness.support.errors import Failed
from harness.support.ports import free_port
from harness.support.waits import wait_for


def test_workers_ask_the_clock_and_record_it(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    server = ClockServer("127.0.0.1", 0)
    server.start()

    def asked_for_a_while() -> bool:
        record_clock("127.0.0.1", server.port, worker="w1", history=history)
        events = list(read(history.path))
        return bool(events[-1]["t"] - events[0]["t"] > 0.3)

    wait_for(asked_for_a_while, "exchanges over 0.3 s", 10)
    server.close()
    history.close()
    events = list(read(history.path))
    assert {event["worker"] for event in events} == {"w1"}
    begin, end = events[0]["t"], events[-1]["t"]
    clock = estimate([exchange_in(event) for event in events], begin, end)
    assert abs(clock.on_master(begin) - begin) <= clock.error_s
    assert abs(clock.on_master(end) - end) <= clock.error_s


def test_a_master_without_a_clock_is_one_sentence(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    with pytest.raises(Failed, match=r"the master's clock at .* does not answer"):
        record_clock("127.0.0.1", free_port(), worker="w1", history=history)
    history.close()
