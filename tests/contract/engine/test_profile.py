"""``profile_server``: six times of the request's steps before the two that every answer has."""

from __future__ import annotations

import gzip
import re
import time
from typing import Callable

import pytest

from harness.conformance.serving import wire
from harness.conformance.serving.check_baidu_std import frame
from harness.conformance.serving.check_clients import ask
from harness.conformance.serving.check_http2 import SERVICE, call
from harness.conformance.serving.checks import PRICE, Subject

pytestmark = pytest.mark.xdist_group("shared server")


def over_baidu_std(port: int, body: bytes) -> list[int]:
    answer = wire.baidu(port, frame(body))
    return list(wire.response_message(gzip.decompress(answer.payload)).profile_time)


def over_grpc(port: int, body: bytes) -> list[int]:
    return list(wire.response_message(call(port, f"/{SERVICE}/inference", body)).profile_time)


@pytest.mark.parametrize("over", [over_baidu_std, over_grpc])
def test_profile_server_puts_the_times_of_all_steps_before_the_usual_two(
    subject: Subject, over: Callable[[int, bytes], list[int]]
) -> None:
    message = wire.request_message()
    assert len(over(subject.port, message.SerializeToString())) == 2
    message.profile_server = True
    before = time.time_ns() // 1000
    times = over(subject.port, message.SerializeToString())
    after = time.time_ns() // 1000
    steps, (began, ended) = times[:6], times[6:]
    assert steps == sorted(steps)
    assert before <= steps[0] == began <= ended <= steps[-1] <= after


def test_the_compiled_client_shows_the_times_of_the_servers_steps(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before the variables are set: they are the client's.
    port = subject.port
    monkeypatch.setenv("FLAGS_profile_server", "1")
    monkeypatch.setenv("FLAGS_profile_client", "1")
    answers, errors = ask(subject, "compiled", port=port)
    assert answers["row"] == [[PRICE]]
    steps = re.findall(r"op(\d)_([01]):(\d+)", errors)
    # Two calls; the server's six times, and behind them the whole.
    names = ["00", "01", "10", "11", "20", "21", "30", "31"]
    assert [number + end for number, end, _ in steps] == names * 2
    for first in (0, 8):
        times = [int(when) for _, _, when in steps[first : first + 6]]
        assert times == sorted(times)
    assert len(re.findall(r"op0=[\d.]+ms,op1=[\d.]+ms,op2=[\d.]+ms", errors)) == 2
