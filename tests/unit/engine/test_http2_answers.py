"""Answers whose headers are long, and what of them a client's own limits let through."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

import h2.events
import pytest

from engine import _grpc, _http2
from engine import _http2_frames as frames

from .test_http2 import HEAD, HEADERS, OK, Pair


class Sent(NamedTuple):
    kind: int
    flags: int
    stream: int
    size: int


def sent(data: bytes) -> list[Sent]:
    """The frames in bytes that a session gave out."""
    found = []
    at = 0
    while at < len(data):
        size, kind, flags, stream = frames.frame_head(bytearray(data), at)
        found.append(Sent(kind, flags, stream, size))
        at += frames.FRAME_HEAD + size
    assert at == len(data)
    return found


def asked(settings: dict[int, int]) -> _http2.Http2Session:
    """A session of whose peer stream 1 waits for its answer."""
    session = _http2.Http2Session(1000)
    session.receive(frames.PREFACE + frames.settings(settings) + HEAD)
    session.receive(frames.frame(frames.DATA, frames.END_STREAM, 1, b"body"))
    session.to_send()
    return session


def headers_of(size: int) -> list[tuple[str, str]]:
    """Headers whose block is of that many bytes."""
    tried = [[("content-type", "b" * value)] for value in range(size - 8, size)]
    return next(one for one in tried if len(frames.header_block(tuple(one))) == size)


def test_headers_and_trailers_longer_than_a_frame_arrive_and_the_connection_goes_on() -> None:
    pair = Pair()
    content_type, message = "application/json; a=" + "b" * 40_000, "c" * 20_000
    for number in (1, 3):
        pair.client.send_headers(number, HEADERS, end_stream=True)
        pair.exchange()
        headers = [(":status", "200"), ("content-type", content_type)]
        pair.session.answer(number, headers, b"answer", [("grpc-message", message)])
        pair.exchange()
    responses = pair.of(h2.events.ResponseReceived)
    assert [dict(one.headers)[b"content-type"] for one in responses] == [content_type.encode()] * 2
    trailers = pair.of(h2.events.TrailersReceived)
    assert [one.headers for one in trailers] == [[(b"grpc-message", message.encode())]] * 2
    assert [one.data for one in pair.of(h2.events.DataReceived)] == [b"answer"] * 2
    assert len(pair.of(h2.events.StreamEnded)) == 2


@pytest.mark.parametrize("frame_size", [16_384, 20_000])
def test_a_header_block_is_cut_at_the_peers_frame_size_and_nowhere_else(frame_size: int) -> None:
    for block, sizes in (
        (frame_size, [frame_size]),
        (frame_size + 1, [frame_size, 1]),
        (2 * frame_size, [frame_size, frame_size]),
        (2 * frame_size + 1, [frame_size, frame_size, 1]),
    ):
        session = asked({frames.MAX_FRAME_SIZE: frame_size})
        session.answer(1, headers_of(block), b"")
        found = sent(session.to_send())
        kinds = [frames.HEADERS] + [frames.CONTINUATION] * (len(sizes) - 1)
        # END_STREAM belongs to the first of them, END_HEADERS to the last.
        flags = [0] * len(sizes)
        flags[0] |= frames.END_STREAM
        flags[-1] |= frames.END_HEADERS
        assert found == [Sent(*one) for one in zip(kinds, flags, [1] * len(sizes), sizes)]


def test_nothing_comes_between_the_frames_of_a_header_block() -> None:
    session = asked({})
    session.answer(1, OK, b"x" * 10, [("grpc-message", "c" * 40_000)])
    # What is answered in the same turn waits behind them.
    session.receive(frames.frame(frames.PING, 0, 0, b"12345678"))
    assert [one.kind for one in sent(session.to_send())] == [
        frames.HEADERS,
        frames.DATA,
        frames.HEADERS,
        frames.CONTINUATION,
        frames.CONTINUATION,
        frames.PING,
    ]


@pytest.mark.parametrize("character", ["x", "%", "é", "价", "😀"])
def test_the_message_of_a_status_is_cut_to_what_clients_take_in_whole_characters(
    character: str,
) -> None:
    whole = _grpc.status_message("[E-5100]" + character * 100)
    assert urllib.parse.unquote(whole) == "[E-5100]" + character * 100
    for length in range(20_000, 20_012):
        cut = _grpc.status_message("y" * (length % 12) + character * length)
        # grpcio takes 8 kB of headers in all, and so does netty.
        assert 3900 < len(cut) <= 4100
        text = urllib.parse.unquote(cut, errors="strict")
        assert text.endswith(character + "...")
        assert set(text) <= {"y", character, "."}


def test_the_content_type_of_a_grpc_answer_is_the_requests_unless_that_is_too_long() -> None:
    assert _grpc.content_type("application/grpc+proto") == "application/grpc+proto"
    assert _grpc.content_type("application/grpc;a=" + "b" * 20_000) == "application/grpc"
