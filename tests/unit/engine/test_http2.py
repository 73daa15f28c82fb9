"""The HTTP/2 session against the h2 library as its client, and against broken frames."""

from __future__ import annotations

import struct
import time
from typing import Any, Callable

import h2.config
import h2.connection
import h2.events
import pytest

from engine import _grpc, _http2
from engine import _http2_frames as frames
from engine._http2_requests import H2Request

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/GeneralModelService/inference?a=b"),
    (":authority", "a"),
    ("content-type", "application/grpc"),
]
OK = [(":status", "200"), ("content-type", "application/grpc")]


class Pair:
    """A client and a session that hand each other what they have to send."""

    def __init__(self, limit: int = 1 << 24) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.session = _http2.Http2Session(limit)
        self.requests: list[H2Request] = []
        self.events: list[h2.events.Event] = []
        self.exchange()

    def exchange(self) -> None:
        while True:
            data = self.client.data_to_send()
            if data:
                self.requests += self.session.receive(data)
            back = self.session.to_send()
            if back:
                for event in self.client.receive_data(back):
                    self.events.append(event)
                    if isinstance(event, h2.events.DataReceived):
                        size = event.flow_controlled_length
                        self.client.acknowledge_received_data(size, event.stream_id)
            if not data and not back:
                return

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
    pair.session.answer(1, OK, b"answer", [("grpc-status", "0")])
    pair.exchange()
    (response,) = pair.of(h2.events.ResponseReceived)
    assert dict(response.headers) == {b":status": b"200", b"content-type": b"application/grpc"}
    assert [event.data for event in pair.of(h2.events.DataReceived)] == [b"answer"]
    (trailers,) = pair.of(h2.events.TrailersReceived)
    assert trailers.headers == [(b"grpc-status", b"0")]
    assert len(pair.of(h2.events.StreamEnded)) == 1
    assert pair.session.waiting == 0


def test_a_body_larger_than_every_window_arrives() -> None:
    pair = Pair()
    body = _grpc.wrap(bytes(range(256)) * 20_000)
    pair.client.send_headers(1, HEADERS)
    left = body
    while left:
        size = min(len(left), pair.client.local_flow_control_window(1), 16384)
        assert size > 0, "the session did not open its window again"
        pair.client.send_data(1, left[:size], end_stream=size == len(left))
        left = left[size:]
        pair.exchange()
    assert pair.requests[0].body == body


def test_an_answer_larger_than_every_window_arrives_when_the_client_reads() -> None:
    pair = Pair()
    pair.client.send_headers(1, HEADERS, end_stream=True)
    pair.exchange()
    body = bytes(range(256)) * 1000
    pair.session.answer(1, OK, body, [("grpc-status", "0")])
    # Before the client has read anything, no more than its window has left.
    assert pair.session.waiting == len(body) - frames.DEFAULT_WINDOW
    pair.exchange()
    assert b"".join(event.data for event in pair.of(h2.events.DataReceived)) == body
    assert len(pair.of(h2.events.StreamEnded)) == 1


def test_many_streams_are_told_apart() -> None:
    pair = Pair()
    numbers = range(1, 101, 2)
    for number in numbers:
        pair.client.send_headers(number, HEADERS)
    for number in numbers:
        pair.client.send_data(number, b"%d" % number, end_stream=True)
    pair.exchange()
    assert {one.stream: one.body for one in pair.requests} == {
        number: b"%d" % number for number in numbers
    }
    for number in reversed(numbers):
        pair.session.answer(number, OK, b"%d" % number)
    pair.exchange()
    assert {event.stream_id: event.data for event in pair.of(h2.events.DataReceived)} == {
        number: b"%d" % number for number in numbers
    }


def test_a_request_that_is_taken_back_is_forgotten() -> None:
    pair = Pair()
    pair.client.send_headers(1, HEADERS)
    pair.client.send_data(1, _grpc.wrap(b"x" * 4995))
    pair.exchange()
    assert pair.session.waiting == 5000
    pair.client.reset_stream(1)
    pair.exchange()
    assert pair.session.waiting == 0
    pair.session.answer(1, OK, b"too late")
    assert pair.session.to_send() == b""


def test_a_ping_is_answered() -> None:
    pair = Pair()
    pair.client.ping(b"12345678")
    pair.exchange()
    assert len(pair.of(h2.events.PingAckReceived)) == 1


def test_continued_and_padded_headers_are_read() -> None:
    session = _http2.Http2Session(1000)
    block = frames.header_block(((":method", "POST"), (":path", "/x"), ("a", "b" * 300)))
    padded = bytes([3]) + block[:10] + b"\0" * 3
    sent = frames.PREFACE + frames.settings({})
    flags = frames.END_STREAM | frames.PADDED
    sent += frames.frame(frames.HEADERS, flags, 1, padded)
    sent += frames.frame(frames.CONTINUATION, 0, 1, block[10:40])
    sent += frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[40:])
    (request,) = session.receive(sent)
    assert request.path == "/x"


HEAD = frames.frame(
    frames.HEADERS,
    frames.END_HEADERS,
    1,
    frames.header_block(((":method", "POST"), (":path", "/"))),
)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frames.frame(frames.DATA, 0, 1, b"x"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, frames.END_HEADERS, 2, b"\x82"), frames.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff" * 9), 9),
        (frames.frame(frames.HEADERS, 0, 1, b"\x82") + HEAD, frames.PROTOCOL_ERROR),
        (frames.frame(frames.PING, 0, 0, b"short"), frames.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"12345"), frames.FRAME_SIZE_ERROR),
        (frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(0, 0), frames.FLOW_CONTROL_ERROR),
        (frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 0, 1, b"\0" * 4), frames.PROTOCOL_ERROR),
        (frames.frame(frames.CONTINUATION, 0, 1, b"x"), frames.PROTOCOL_ERROR),
        (b"\x01\x00\x00" + frames.frame(frames.DATA, 0, 0)[3:], frames.FRAME_SIZE_ERROR),
        (HEAD + frames.frame(frames.DATA, frames.PADDED, 1, b"\x05ab"), frames.PROTOCOL_ERROR),
    ],
)
def test_a_broken_frame_ends_the_connection_with_the_rfcs_code(sent: bytes, code: int) -> None:
    session = _http2.Http2Session(1000)
    session.receive(frames.PREFACE + frames.settings({}))
    session.to_send()
    with pytest.raises(_http2.Broken) as broken:
        session.receive(sent)
    size, kind, _, _ = frames.frame_head(bytearray(broken.value.farewell), 0)
    assert (kind, size) == (frames.GOAWAY, 8)
    assert broken.value.farewell[-4:] == code.to_bytes(4, "big")


def test_headers_that_never_end_are_refused() -> None:
    session = _http2.Http2Session(1000)
    session.receive(frames.PREFACE + frames.frame(frames.HEADERS, 0, 1, b"\x82"))
    with pytest.raises(_http2.Broken, match="does not end"):
        session.receive(frames.frame(frames.CONTINUATION, 0, 1, b"x" * 10_000) * 10)
    session = _http2.Http2Session(1000)
    session.receive(frames.PREFACE + frames.frame(frames.HEADERS, 0, 1, b"\x82"))
    with pytest.raises(_http2.Broken, match="does not end"):
        session.receive(frames.frame(frames.CONTINUATION, 0, 1))


def test_more_streams_than_allowed_are_refused_one_by_one() -> None:
    session = _http2.Http2Session(1000)
    sent = frames.PREFACE + frames.settings({})
    block = frames.header_block(((":method", "POST"), (":path", "/")))
    for number in range(1, 2 * 129 + 1, 2):
        sent += frames.frame(frames.HEADERS, frames.END_HEADERS, number, block)
    session.receive(sent)
    assert session.to_send().endswith(frames.rst_stream(257, frames.REFUSED_STREAM))


def unread(size: int, streams: int = 1) -> _http2.Http2Session:
    """A session whose peer lets nothing of its answers out, ``size`` bytes for each stream."""
    session = _http2.Http2Session(1000)
    session.receive(frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    block = frames.header_block(((":method", "POST"), (":path", "/")))
    flags = frames.END_HEADERS | frames.END_STREAM
    for number in range(1, 2 * streams, 2):
        session.receive(frames.frame(frames.HEADERS, flags, number, block))
        session.answer(number, OK, b"x" * size)
    session.to_send()
    return session


def test_a_window_opened_byte_by_byte_costs_no_copy_of_the_rest() -> None:
    session = unread(20_000_000)
    session.receive(frames.window_update(0, 2**30))
    began = time.process_time()
    session.receive(frames.window_update(1, 1) * 2000)
    # 2,000 copies of 20 MB take seconds.
    assert time.process_time() - began < 0.5
    assert len(session.to_send()) == 2000 * (frames.FRAME_HEAD + 1)
    assert session.waiting == 20_000_000 - 2000


def test_a_peer_that_leaves_its_answers_lying_is_full_until_it_takes_them() -> None:
    session = unread(3 << 20, streams=3)
    assert session.full
    session.refuse(7)
    assert session.to_send() == frames.rst_stream(7, frames.REFUSED_STREAM)
    session.receive(frames.rst_stream(1, 8))
    assert not session.full
    assert session.waiting == 6 << 20
    opened = frames.window_update(0, 2**30) + frames.settings({frames.INITIAL_WINDOW_SIZE: 2**24})
    session.receive(opened)
    assert session.waiting == 0


def test_of_many_windows_in_one_settings_frame_the_last_counts() -> None:
    session = unread(100, streams=128)
    settings = struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 200) * 2729
    settings += struct.pack(">HI", frames.INITIAL_WINDOW_SIZE, 40)
    began = time.process_time()
    for _ in range(16):
        session.receive(frames.frame(frames.SETTINGS, 0, 0, settings))
    # 16 x 2,730 settings, each for 128 streams, take the better part of a second.
    assert time.process_time() - began < 0.2
    assert session.waiting == 128 * 60


def test_requests_under_way_are_answered_after_the_peer_said_goodbye() -> None:
    session = _http2.Http2Session(1000)
    sent = frames.PREFACE + frames.settings({}) + HEAD + frames.goaway(0, frames.NO_ERROR)
    sent += frames.frame(frames.DATA, frames.END_STREAM, 1, b"body")
    (request,) = session.receive(sent)
    assert request.body == b"body"
    session.to_send()
    session.answer(1, OK, b"answer")
    assert session.to_send().endswith(frames.frame(frames.DATA, frames.END_STREAM, 1, b"answer"))


def test_a_request_that_came_whole_before_a_broken_frame_comes_out_and_is_answered() -> None:
    session = _http2.Http2Session(1000)
    block = frames.header_block(((":method", "POST"), (":path", "/")))
    ended = frames.END_HEADERS | frames.END_STREAM
    sent = frames.PREFACE + frames.settings({})
    sent += frames.frame(frames.HEADERS, ended, 1, block)
    sent += frames.frame(frames.HEADERS, ended, 3, block)
    # Never whole: the client may ask it again elsewhere.
    sent += frames.frame(frames.HEADERS, frames.END_HEADERS, 5, block)
    sent += frames.frame(frames.PING, 0, 0, b"short")
    with pytest.raises(_http2.Broken) as broken:
        session.receive(sent)
    assert [one.stream for one in broken.value.requests] == [1, 3]
    assert broken.value.farewell == frames.goaway(3, frames.FRAME_SIZE_ERROR)
    session.to_send()
    session.answer(1, OK, b"answer")
    assert session.to_send().endswith(frames.frame(frames.DATA, frames.END_STREAM, 1, b"answer"))


def test_frames_on_a_request_that_is_whole_reset_its_stream() -> None:
    for extra, code in (
        (frames.frame(frames.DATA, frames.END_STREAM, 1, b"x"), frames.STREAM_CLOSED),
        (frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b""), frames.PROTOCOL_ERROR),
    ):
        session = _http2.Http2Session(1000)
        session.receive(frames.PREFACE + HEAD + frames.frame(frames.DATA, 1, 1, b"body"))
        session.to_send()
        assert session.receive(extra) == []
        assert session.to_send() == frames.rst_stream(1, code)
        session.answer(1, OK, b"too late")
        assert session.to_send() == b""
        assert session.waiting == 0


POST = frames.header_block(((":method", "POST"), (":path", "/")))
NO_PATH = frames.header_block(((":method", "POST"),))
TOO_LONG = frames.header_block(((":method", "POST"), (":path", "/"), ("content-length", "1001")))


@pytest.mark.parametrize(
    ("block", "last", "then"),
    [
        (POST, False, lambda number: frames.rst_stream(number, 8)),
        (POST, True, lambda number: frames.rst_stream(number, 8)),
        # The server's resets, for which the client gives it reason, cost as much.
        (POST, True, lambda number: frames.frame(frames.DATA, 0, number, b"x")),
        (POST, False, lambda number: frames.window_update(number, 0)),
        (NO_PATH, True, lambda _: b""),
        (TOO_LONG, False, lambda _: b""),
    ],
    ids=["taken back", "asked and taken back", "no end", "no window", "no path", "too long"],
)
def test_streams_begun_in_vain_end_the_connection(
    block: bytes, last: bool, then: Callable[[int], bytes]
) -> None:
    session = _http2.Http2Session(1000)
    session.receive(frames.PREFACE + frames.settings({}))
    flags = frames.END_HEADERS | (frames.END_STREAM if last else 0)

    def begun(number: int) -> bytes:
        return frames.frame(frames.HEADERS, flags, number, block) + then(number)

    for request in session.receive(b"".join(begun(number) for number in range(1, 2001, 2))):
        # Nobody is there to hear it any more.
        session.answer(request.stream, OK, b"")
    with pytest.raises(_http2.Broken, match="in vain") as broken:
        session.receive(begun(2001))
    assert broken.value.farewell[-4:] == frames.ENHANCE_YOUR_CALM.to_bytes(4, "big")


def test_a_client_that_takes_back_half_of_its_requests_is_served_on() -> None:
    session = _http2.Http2Session(1000)
    session.receive(frames.PREFACE + frames.settings({}))
    block = frames.header_block(((":method", "POST"), (":path", "/")))
    ended = frames.END_HEADERS | frames.END_STREAM
    for number in range(1, 12_001, 4):
        session.receive(frames.frame(frames.HEADERS, ended, number, block))
        session.answer(number, OK, b"")
        session.receive(
            frames.frame(frames.HEADERS, frames.END_HEADERS, number + 2, block)
            + frames.rst_stream(number + 2, 8)
        )
    assert session.waiting == 0


def test_many_small_openings_of_the_connections_window_are_one_look_at_the_streams() -> None:
    session = unread(1000, streams=128)
    session.receive(frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}))
    session.to_send()
    # What is left after the connection's 65,535 bytes.
    left = session.waiting
    session.receive(frames.window_update(0, 1) * 20_000)
    assert session.waiting == left - 20_000
    # At most a frame for each stream, not one for each opening.
    assert len(session.to_send()) <= 20_000 + 128 * frames.FRAME_HEAD
