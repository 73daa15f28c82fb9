"""HTTP/1: when a connection ends, and which requests are answered before its end."""

from __future__ import annotations

import socket

import pytest

from harness.conformance.serving.check_http import price
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.wire import Wire

pytestmark = pytest.mark.xdist_group("shared server")


def request(version: str = "1.1", connection: str = "", body: bytes = JSON_BODY) -> bytes:
    lines = [
        f"POST /GeneralModelService/inference HTTP/{version}",
        "Host: a",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if connection:
        lines.append(f"Connection: {connection}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(("body", "status"), [(JSON_BODY, 200), (b"{nonsense", 400), (b"{}", 500)])
@pytest.mark.parametrize(
    ("version", "connection"), [("1.1", "close"), ("1.1", "Close"), ("1.0", "close"), ("1.0", "")]
)
def test_a_connection_ends_where_the_client_asked_for_it_or_speaks_http_1_0(
    subject: Subject, version: str, connection: str, body: bytes, status: int
) -> None:
    with Wire(subject.port) as one:
        one.send(request(version=version, connection=connection, body=body))
        answer = one.http_answer()
        assert answer.status == status
        assert (answer.header("connection") or "").lower() == connection.lower()
        assert one.closed()


def test_what_was_sent_behind_the_last_request_is_not_answered(subject: Subject) -> None:
    with Wire(subject.port) as one:
        one.send(request() + request(connection="close") + request())
        assert price(one.http_answer()) == PRICE
        last = one.http_answer()
        assert price(last) == PRICE
        assert last.header("connection") == "close"
        assert one.closed()


@pytest.mark.parametrize("requests", [1, 3])
@pytest.mark.parametrize("size", [200, 50_000])
def test_a_client_that_closes_its_side_behind_its_requests_is_answered(
    subject: Subject, size: int, requests: int
) -> None:
    with Wire(subject.port) as one:
        one.send(request(body=JSON_BODY + b" " * size) * requests)
        one.socket.shutdown(socket.SHUT_WR)
        for _ in range(requests):
            assert price(one.http_answer()) == PRICE
        assert one.closed()
