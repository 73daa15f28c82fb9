"""The HTTP/2 session, with the h2 library as its client."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from engine import _grpc, _http2
from engine._http import Headers, HttpRequest

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/GeneralModelService/inference?a=b"),
    (":authority", "a"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
OK = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]


class Pair:
    """A client and a session that hand each other what they have to send."""

    def __init__(self, limit: int = 1 << 24) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.too_big = 0
        self.session = _http2.Http2Session(limit, self._count)
        self.requests: list[HttpRequest] = []
        self.events: list[h2.events.Event] = []
        self.exchange()

    def _count(self) -> None:
        self.too_big += 1

    def exchange(self) -> None:
        while True:
            data = self.client.data_to_send()
            if data:
                self.requests += self.session.receive(data)
            back = self.session.to_send()
            for event in self.client.receive_data(back):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived):
                    size = event.flow_controlled_length
                    self.client.acknowledge_received_data(size, event.stream_id)
            if not data and not back:
                return

    def ask(self) -> None:
        """Send a request without a body on stream 1."""
        self.client.send_headers(1, HEADERS, end_stream=True)
        self.exchange()

    def answer(self, body: bytes, headers: Headers = OK, trailers: Headers = ()) -> None:
        self.session.answer(1, headers, body, trailers)
        self.exchange()

    def send(self, body: bytes, stream: int = 1) -> None:
        """Sends a body, as the session's windows let it."""
        left = body
        while left:
            size = min(len(left), self.client.local_flow_control_window(stream), 16384)
            assert size > 0, "the session did not open its window again"
            self.client.send_data(stream, left[:size], end_stream=size == len(left))
            left = left[size:]
            self.exchange()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def test_a_request_comes_out_whole_and_its_answer_goes_back() -> None:
    pair = Pair()
    pair.client.send_headers(1, HEADERS)
    pair.client.send_data(1, b"abc", end_stream=True)
    pair.exchange()
    (request,) = pair.requests
    assert (request.path, request.body) == ("/GeneralModelService/inference", b"abc")
    assert request.is_grpc
    pair.answer(b"answer", trailers=TRAILERS)
    (response,) = pair.of(h2.events.ResponseReceived)
    assert dict(response.headers) == {b":status": b"200", b"content-type": b"application/grpc"}
    assert [event.data for event in pair.of(h2.events.DataReceived)] == [b"answer"]
    (trailers,) = pair.of(h2.events.TrailersReceived)
    assert trailers.headers == [(b"grpc-status", b"0")]
    assert len(pair.of(h2.events.StreamEnded)) == 1


def test_a_body_larger_than_every_window_arrives() -> None:
    pair = Pair()
    body = _grpc.wrap(bytes(range(256)) * 20_000)
    pair.client.send_headers(1, HEADERS)
    pair.send(body)
    assert pair.requests[0].body == body


def test_an_answer_larger_than_every_window_arrives_when_the_client_reads() -> None:
    pair = Pair()
    pair.ask()
    body = bytes(range(256)) * 1000
    pair.answer(body, trailers=TRAILERS)
    assert b"".join(event.data for event in pair.of(h2.events.DataReceived)) == body
    assert len(pair.of(h2.events.StreamEnded)) == 1


def test_a_request_that_is_taken_back_is_not_answered() -> None:
    pair = Pair()
    for number, ended in ((1, False), (3, True)):
        pair.client.send_headers(number, HEADERS, end_stream=ended)
        pair.exchange()
        pair.client.reset_stream(number)
        pair.exchange()
        pair.session.answer(number, OK, b"too late")
        assert pair.session.to_send() == b""


def test_an_answer_behind_the_clients_goodbye_is_dropped() -> None:
    pair = Pair()
    pair.client.send_headers(1, HEADERS, end_stream=True)
    pair.client.close_connection()
    pair.exchange()
    pair.session.answer(1, OK, b"answer")
    assert pair.session.to_send() == b""


def test_a_body_over_the_limit_is_reset_and_the_connection_goes_on() -> None:
    pair = Pair(4096)
    pair.client.send_headers(1, HEADERS)
    pair.client.send_data(1, b"x" * 3000)
    pair.client.send_data(1, b"x" * 3000)
    pair.client.send_data(1, b"x" * 3000, end_stream=True)
    pair.exchange()
    (reset,) = pair.of(h2.events.StreamReset)
    assert (reset.stream_id, reset.error_code) == (1, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
    assert pair.too_big == 1
    pair.client.send_headers(3, HEADERS)
    pair.client.send_data(3, b"x" * 4096, end_stream=True)
    pair.exchange()
    assert [one.body for one in pair.requests] == [b"x" * 4096]


@pytest.mark.parametrize("sent", [b"\0" * 100, b"\0\0\5\6\0\0\0\0\0short"])
def test_broken_frames_end_the_connection_with_a_goaway(sent: bytes) -> None:
    pair = Pair()
    assert pair.session.receive(sent) == []
    assert pair.session.broken
    assert pair.session.to_send()[3] == 7
