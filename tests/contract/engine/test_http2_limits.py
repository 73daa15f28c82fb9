"""``max_body_size`` over HTTP/2 and gRPC: what is too big is refused by what it announces."""

from __future__ import annotations

import json
from typing import Callable, Optional

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from harness.conformance.serving.check_http2 import SERVICE, status
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject
from harness.conformance.serving.wire import Wire

pytestmark = pytest.mark.xdist_group("likeness")

LIMIT = 64 * 1024 * 1024
TOO_BIG = (
    f"(protocol=h2) is bigger than {LIMIT} bytes, the stream will be reset. "
    "Set max_body_size to allow bigger messages"
)


def headers(content_type: str, length: Optional[int] = None) -> list[tuple[str, str]]:
    found = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/{SERVICE}/inference"),
        (":authority", "a"),
        ("content-type", content_type),
    ]
    return found if length is None else [*found, ("content-length", str(length))]


class Client:
    """One HTTP/2 connection, used by hand."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()

    def send(self) -> None:
        self.wire.send(self.h2.data_to_send())

    def until(self, wanted: Callable[[h2.events.Event], bool]) -> list[h2.events.Event]:
        """What the server sends, up to the wanted event."""
        found: list[h2.events.Event] = []
        while not any(wanted(event) for event in found):
            data = self.wire.socket.recv(65536)
            assert data, f"the server closed the connection after {found}"
            found += self.h2.receive_data(data)
            self.send()
        return found


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (headers("application/json", LIMIT + 1), b""),
        (headers("application/grpc", LIMIT + 1), b""),
        (headers("application/grpc"), b"\0" + (LIMIT + 1).to_bytes(4, "big")),
    ],
    ids=["JSON", "gRPC with content-length", "the prefix of a gRPC message"],
)
def test_a_body_over_max_body_size_is_refused_before_it_comes(
    subject: Subject, head: list[tuple[str, str]], body: bytes
) -> None:
    at = len(subject.server.log())
    with Wire(subject.port) as wire:
        one = Client(wire)
        one.h2.send_headers(1, head)
        if body:
            one.h2.send_data(1, body)
        one.send()
        found = one.until(lambda event: isinstance(event, h2.events.StreamReset))
        (reset,) = [event for event in found if isinstance(event, h2.events.StreamReset)]
        assert (reset.stream_id, reset.error_code) == (1, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
        # What the client had on its way has left its connection as it was.
        one.h2.send_headers(3, headers("application/json", len(JSON_BODY)))
        one.h2.send_data(3, JSON_BODY, end_stream=True)
        one.send()
        found = one.until(lambda event: isinstance(event, h2.events.StreamEnded))
        answer = b"".join(one.data for one in found if isinstance(one, h2.events.DataReceived))
        assert json.loads(answer)["outputs"][0]["tensor"][0]["float_data"] == [PRICE]
    text = subject.server.wait_for_log("Set max_body_size", start=at)
    assert text.count(TOO_BIG) == 1
    assert "the connection will be closed" not in text


def test_grpcio_is_told_that_its_message_is_too_big(subject: Subject) -> None:
    at = len(subject.server.log())
    code, _ = status(subject.port, f"/{SERVICE}/inference", b"\0" * (LIMIT + 1))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert TOO_BIG in subject.server.wait_for_log("Set max_body_size", start=at)
