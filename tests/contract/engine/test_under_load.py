"""Many clients, slow clients, many reloads: no client waits because of another one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bench.engine import http_load
from bench.engine.memory import Resources, kept, settled
from engine import _baidu_std
from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.check_reload_load import reload_in_turns, turns
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.wire import Wire, http
from harness.support import waits

pytestmark = pytest.mark.xdist_group("shared server")


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} shows no VmRSS")


def test_64_clients_at_work_lose_no_request(subject: Subject) -> None:
    request = http_load.request_bytes("127.0.0.1", JSON_BODY)
    loaded = http_load.run(
        ("127.0.0.1", subject.port),
        request,
        connections=64,
        seconds=1.0,
        expected=[b'"float_data":[92.0]'],
    )
    assert loaded.failed == 0, loaded.first_failure
    assert len(loaded.latencies) > 64


def test_500_idle_connections_cost_next_to_nothing(subject: Subject) -> None:
    pid = subject.server.pid
    before = resident_kib(pid)
    idle = [Wire(subject.port) for _ in range(500)]
    try:
        assert price(http(subject.port, JSON_BODY, headers=JSON)) == PRICE
        assert resident_kib(pid) - before < 10_000
    finally:
        for one in idle:
            one.socket.close()


def test_half_sent_requests_hold_up_nobody(subject: Subject) -> None:
    halves = [
        b"POST /GeneralModelService/inf",
        b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{",
        _baidu_std.HEADER.pack(b"PRPC", 1000, 20),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    held = []
    for half in halves:
        one = Wire(subject.port)
        one.send(half)
        held.append(one)
    for _ in range(5):
        assert price(http(subject.port, JSON_BODY, headers=JSON)) == PRICE
    for one in held:
        one.socket.close()


def send_until_refused(one: Wire, data: bytes) -> None:
    """Sends without reading an answer, until the server takes no more."""
    one.socket.settimeout(2.0)
    for _ in range(400):
        one.send(data)


def test_a_client_that_never_reads_is_not_read_from_for_ever(subject: Subject) -> None:
    pid = subject.server.pid
    many = b"GET /status HTTP/1.1\r\n\r\n" * 1500
    before = resident_kib(pid)
    with Wire(subject.port) as one:
        with pytest.raises(socket.timeout):
            send_until_refused(one, many)
        assert price(http(subject.port, JSON_BODY, headers=JSON)) == PRICE
        assert resident_kib(pid) - before < 60_000


LIMIT = 64 * 1024 * 1024
POST = b"POST /GeneralModelService/inference HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("start", "protocol"),
    [
        (POST + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1), "http"),
        (_baidu_std.HEADER.pack(b"PRPC", LIMIT + 1, 20), "baidu_std"),
    ],
)
def test_a_body_over_max_body_size_is_refused_before_it_is_in_memory(
    subject: Subject, start: bytes, protocol: str
) -> None:
    pid = subject.server.pid
    before = resident_kib(pid)
    at = len(subject.server.log())
    with Wire(subject.port) as one:
        one.send(start)
        assert one.closed()
    text = subject.server.wait_for_log("the connection will be closed", start=at)
    assert f"(protocol={protocol}) is bigger than {LIMIT} bytes" in text
    assert resident_kib(pid) - before < 10_000


def given_back(before: Resources, pid: int) -> None:
    """Waits until nothing is left of what the reloads took; what is kept stays for ever.

    The last model is dropped at low priority, on a busy machine some seconds after its reload.
    """
    found: list[str] = []

    def nothing_kept() -> bool:
        found[:] = kept(before, settled(pid))
        return not found

    waits.wait_for(nothing_kept, "what reloads took to be given back", 30, last_seen=found.copy)


def test_reloads_lose_no_request_and_keep_no_memory(subject: Subject) -> None:
    with subject.launch() as server:
        # Until two processes have held a model each.
        assert reload_in_turns(server, turns(subject), 4) == []
        before = settled(server.pid)
        assert reload_in_turns(server, turns(subject), 4) == []
        given_back(before, server.pid)


@pytest.mark.proof
@pytest.mark.timeout(1500)
def test_memory_is_flat_over_many_reloads(subject: Subject) -> None:
    with subject.launch() as server:
        assert reload_in_turns(server, turns(subject), 20) == []
        before = settled(server.pid)
        assert reload_in_turns(server, turns(subject), 400) == []
        given_back(before, server.pid)
