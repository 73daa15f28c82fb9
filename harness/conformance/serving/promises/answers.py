"""Answers around a reload: no failure, no old model after the new model, no mixture."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from harness.conformance.serving.check_clients import ask
from harness.conformance.serving.check_http import JSON, answered
from harness.conformance.serving.check_reload_load import ASK_ON_S, SWITCHING_S, turns
from harness.conformance.serving.checks import (
    JSON_BODY,
    PRICE,
    PRICE_2,
    Differs,
    Missing,
    Subject,
    holds,
    same,
)
from harness.conformance.serving.server import Launched
from harness.conformance.serving.steady_clients import Asked, Period, SteadyClients, steps_back
from harness.conformance.serving.wire import TIMEOUT_S
from harness.conformance.serving.wire import http as ask_http
from harness.support.waits import wait_for

from .asking import wait_served

_RELOADS = 10
_CLIENTS = 4
_LARGE_ROWS = 2000
# How long a large model may take until it serves on a busy machine.
_LARGE_LOAD_S = 120.0
# During a shorter load it is chance whether a client gets an answer.
_SHORTEST_LOAD_S = 0.1


class _UnderLoad(NamedTuple):
    """What clients saw over ``_RELOADS`` reloads."""

    asked: Sequence[Asked]
    failures: Sequence[str]
    periods: Sequence[Period]


@functools.lru_cache(maxsize=1)
def _under_load(subject: Subject) -> _UnderLoad:
    """Return what clients see over the reloads: one run, for several promises."""
    with subject.launch() as server:
        return _reloaded(subject, server)


def _reloaded(subject: Subject, server: Launched) -> _UnderLoad:
    starts: list[float] = []
    with SteadyClients(server, _CLIENTS) as steady:
        for number in range(_RELOADS):
            starts.append(time.monotonic())
            server.install(turns(subject)[number % 2])
            wait_served(server, (PRICE_2, PRICE)[number % 2], f"release {number + 2} under clients")
            steady.ask_on(ASK_ON_S)
    ends = [*starts[1:], float("inf")]
    periods = [
        Period(start, end, (PRICE_2, PRICE)[number % 2])
        for number, (start, end) in enumerate(zip(starts, ends))
    ]
    return _UnderLoad(steady.asked, steady.failures, periods)


def _all_asked(subject: Subject) -> _UnderLoad:
    """Return the same. Raises ``Missing`` if a client ended early, at its first failure."""
    seen = _under_load(subject)
    if seen.failures:
        raise Missing(f"{len(seen.failures)} clients failed, so not all answers are known")
    return seen


def none_fails(subject: Subject) -> None:
    """No request fails over 10 reloads under 4 clients."""
    seen = _under_load(subject)
    holds(not seen.failures, f"{len(seen.failures)} clients failed: {seen.failures[:1]}")


def no_mixture(subject: Subject) -> None:
    """Every answer over 10 reloads is the prediction of one complete release."""
    others = {one.price for one in _all_asked(subject).asked} - {PRICE, PRICE_2}
    holds(not others, f"answers of no release: {sorted(others)[:3]}")


def no_step_back(subject: Subject) -> None:
    """No client gets an old answer more than 1 s after any client got a new answer."""
    seen = _all_asked(subject)
    back = steps_back(seen.asked, seen.periods)
    holds(
        not back or max(back) < SWITCHING_S,
        f"an old answer {max(back, default=0):.3f} s after the first new one",
    )


def large_ones_in_flight(subject: Subject) -> None:
    """Each request of 2,000 rows that is open at a reload gets an answer from one release."""
    body = json.loads(JSON_BODY)
    tensor = body["tensor"][0]
    tensor["float_data"] = tensor["float_data"] * _LARGE_ROWS
    tensor["shape"] = [_LARGE_ROWS, 13]
    large = json.dumps(body).encode()
    wrong: list[str] = []
    done = threading.Event()

    def asking(server: Launched) -> None:
        while not done.is_set() and not wrong:
            try:
                with answered():
                    answer = json.loads(ask_http(server.port, large, headers=JSON).body)
                    prices = answer["outputs"][0]["tensor"][0]["float_data"]
            except Differs as error:
                wrong.append(str(error))
                return
            if len(prices) != _LARGE_ROWS or set(prices) not in ({PRICE}, {PRICE_2}):
                wrong.append(f"{len(prices)} rows with the prices {sorted(set(prices))[:3]}")

    with subject.launch() as server, ThreadPoolExecutor(3) as pool:
        clients = [pool.submit(asking, server) for _ in range(3)]
        try:
            for number in range(4):
                server.install(turns(subject)[number % 2])
                wait_served(server, (PRICE_2, PRICE)[number % 2], f"release {number + 2}")
        finally:
            done.set()
        for client in clients:
            client.result()
    holds(not wrong, f"a request of {_LARGE_ROWS} rows: {wrong[:1]}")


def while_loading(subject: Subject) -> None:
    """While a model of 200 MB loads, the answers never stop for as long as half the load."""
    large = subject.large_model
    with subject.launch() as server:
        with SteadyClients(server, _CLIENTS) as steady:
            server.install(large)
            wait_served(server, PRICE_2, "the large release", within_s=_LARGE_LOAD_S)
        load = wait_for(server.reload_spans, "the load in the log", _LARGE_LOAD_S)[0]
    holds(not steady.failures, f"{len(steady.failures)} clients failed: {steady.failures[:1]}")
    took = load.end - load.begin
    if took < _SHORTEST_LOAD_S:
        raise Missing(f"the load took {took:.2f} s only, which is too short to tell")
    # The log has times since the epoch.
    shift = time.time() - time.monotonic()
    answered = sorted(one.answered + shift for one in steady.asked)
    during = [load.begin, *(t for t in answered if load.begin < t < load.end), load.end]
    gap = max(later - earlier for earlier, later in zip(during, during[1:]))
    holds(gap < took / 2, f"no answer for {gap:.1f} s of a load of {took:.1f} s")


def request_cache(subject: Subject) -> None:
    """With a request cache, too, a repeated request gets the new release's answer."""
    with subject.launch(options=["--request_cache_size", str(1 << 20)]) as server:
        seen = _reloaded(subject, server)
    holds(not seen.failures, f"{len(seen.failures)} clients failed: {seen.failures[:1]}")
    back = steps_back(seen.asked, seen.periods)
    holds(
        not back or max(back) < SWITCHING_S,
        f"an old answer {max(back, default=0):.3f} s after the first new one",
    )


def every_protocol(subject: Subject) -> None:
    """The compiled client, JSON, protobuf and gRPC all get the new release."""
    with subject.launch() as server:
        server.install(subject.models / "uci_2")
        wait_served(server, PRICE_2, "the release over JSON")
        row = ask(subject, "compiled", port=server.port)[0]["row"]
        same(row, [[PRICE_2]], "the compiled client")
        for mode in ("JSON", "protobuf", "gRPC"):
            same(ask(subject, "http", mode, port=server.port)[0], [PRICE_2], mode)


def open_connections(subject: Subject) -> None:
    """A connection that was opened before a reload stays, and gets the new release."""
    with subject.launch() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            same(_over(connection), PRICE, "before the reload")
            # A new connection would hide that the server has closed this one.
            connection.auto_open = 0
            server.install(subject.models / "uci_2")
            wait_served(server, PRICE_2, "the release on another connection")
            same(_over(connection), PRICE_2, "on the connection that stays open")


def _over(connection: http.client.HTTPConnection) -> float:
    try:
        with answered():
            connection.request("POST", "/GeneralModelService/inference", JSON_BODY, JSON)
            answer = json.loads(connection.getresponse().read())
            return float(answer["outputs"][0]["tensor"][0]["float_data"][0])
    except Differs as error:
        raise Differs(f"the connection broke: {error}") from None
