"""A client that sends a great deal of little things at once, and whoever asks meanwhile."""

from __future__ import annotations

import json
import socket
import threading
from typing import Callable

import h2.config
import h2.connection
import pytest

from harness.conformance.serving.check_http import JSON, price
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.wire import Wire, http
from harness.support import waits

pytestmark = pytest.mark.xdist_group("likeness")

DEADLINE_S = 60.0
PATH = "/GeneralModelService/inference"
FIRST, LAST, OTHER = 4_000_001, 4_000_002, 4_000_003


def body(log_id: int) -> bytes:
    return json.dumps({**json.loads(JSON_BODY), "log_id": log_id}).encode()


def many_small_chunks() -> bytes:
    """One request whose body comes a byte at a time."""
    head = f"POST {PATH} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    last = body(LAST)
    return head + b"1\r\n \r\n" * 600_000 + b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last)


def many_requests() -> bytes:
    """Requests one behind the other, without waiting for an answer."""

    def one(log_id: int) -> bytes:
        return b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (
            PATH.encode(),
            len(body(log_id)),
            body(log_id),
        )

    return one(FIRST) * 10_000 + one(LAST)


def many_small_frames() -> bytes:
    """HTTP/2: pings, and a request behind them."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    start = connection.data_to_send()
    connection.ping(b"farewell")
    pings = connection.data_to_send() * 200_000
    connection.send_headers(
        1, [(":method", "POST"), (":path", PATH), (":scheme", "http"), (":authority", "here")]
    )
    connection.send_data(1, body(LAST), end_stream=True)
    return bytes(start + pings + connection.data_to_send())


@pytest.mark.parametrize("flood", [many_small_chunks, many_requests, many_small_frames])
def test_a_client_who_asks_while_another_floods_has_his_turn_before_the_flood_ends(
    subject: Subject, flood: Callable[[], bytes]
) -> None:
    server = subject.server
    start = len(server.log())
    data = flood()
    with Wire(server.port) as one:

        def drain() -> None:
            one.socket.settimeout(DEADLINE_S)
            while one.socket.recv(1 << 20):
                pass

        draining = threading.Thread(target=drain, daemon=True)
        draining.start()
        one.send(data)
        assert price(http(server.port, body(OTHER), headers=JSON)) == PRICE
        waits.wait_for(
            lambda: f"logid={LAST})" in server.log()[start:],
            "the flood's last request to be answered",
            DEADLINE_S,
            log=server.log_file(),
        )
        one.socket.shutdown(socket.SHUT_RDWR)
        draining.join(DEADLINE_S)
    text = server.log()[start:]
    before = text.index(f"logid={OTHER})") < text.index(f"logid={LAST})")
    assert before, "who asked meanwhile was answered when all of the flood had been"


@pytest.mark.parametrize("requests", [1, 3])
@pytest.mark.parametrize("size", [200, 20_000, 50_000])
def test_who_has_said_all_he_has_to_say_is_answered_all_the_same(
    subject: Subject, size: int, requests: int
) -> None:
    padded = body(FIRST) + b" " * size
    one = b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (
        PATH.encode(),
        len(padded),
        padded,
    )
    for _ in range(20):
        with Wire(subject.port) as client:
            client.send(one * requests)
            client.socket.shutdown(socket.SHUT_WR)
            for _ in range(requests):
                assert price(client.http_answer()) == PRICE
            assert client.closed()
