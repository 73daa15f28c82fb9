"""Requests over ``max_body_size`` on HTTP/2: refused by what they announce, and dropped."""

from __future__ import annotations

from typing import Optional

import pytest

from engine import _http2
from engine import _http2_frames as frames

LIMIT = 100_000
TOO_BIG = "A message"


def head(number: int, *more: tuple[str, str], flags: int = 0) -> bytes:
    block = frames.header_block(((":method", "POST"), (":path", "/"), *more))
    return frames.frame(frames.HEADERS, frames.END_HEADERS | flags, number, block)


def of_length(number: int, length: object, flags: int = 0) -> bytes:
    return head(number, ("content-length", str(length)), flags=flags)


def data(number: int, body: bytes, last: bool = False) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if last else 0, number, body)


@pytest.fixture
def session() -> _http2.Http2Session:
    one = _http2.Http2Session(LIMIT)
    one.receive(frames.PREFACE + frames.settings({}))
    one.to_send()
    return one


def reset(session: _http2.Http2Session, code: int, number: int = 1) -> bool:
    return session.to_send() == frames.rst_stream(number, code)


@pytest.mark.parametrize("length", [LIMIT + 1, 500 << 20, "9" * 18, "9" * 40])
def test_an_announced_length_over_the_limit_is_refused_before_a_byte_of_the_body(
    session: _http2.Http2Session, length: object
) -> None:
    assert session.receive(of_length(1, length)) == []
    assert reset(session, frames.ENHANCE_YOUR_CALM)
    assert session.over_limit == [TOO_BIG]


def test_a_body_as_long_as_the_limit_is_taken(session: _http2.Http2Session) -> None:
    requests = session.receive(of_length(1, LIMIT))
    for at in range(0, LIMIT, 10_000):
        requests += session.receive(data(1, b"x" * 10_000, at + 10_000 == LIMIT))
    assert [one.body for one in requests] == [b"x" * LIMIT]
    assert session.over_limit == []


@pytest.mark.parametrize("cut", [5, 3, 1])
def test_a_grpc_prefix_that_announces_more_than_the_limit_is_refused_at_once(
    session: _http2.Http2Session, cut: int
) -> None:
    # The prefix counts, as it does for a body that is whole.
    prefix = b"\0" + (LIMIT - 4).to_bytes(4, "big")
    session.receive(head(1, ("content-type", "application/grpc+proto")))
    session.receive(data(1, prefix[:cut]))
    session.receive(data(1, prefix[cut:] + b"x"))
    assert reset(session, frames.ENHANCE_YOUR_CALM)
    assert session.over_limit == [TOO_BIG]
    assert session.waiting == 0


@pytest.mark.parametrize(
    ("content_type", "length"),
    [("application/grpc", LIMIT - 5), ("application/json", LIMIT), ("", LIMIT)],
)
def test_other_prefixes_announce_nothing_that_is_too_long(
    session: _http2.Http2Session, content_type: str, length: int
) -> None:
    session.receive(head(1, ("content-type", content_type)))
    session.receive(data(1, b"\0" + length.to_bytes(4, "big")))
    assert session.to_send() == b""
    assert session.waiting == 5


def test_a_refused_body_is_dropped_as_it_arrives_and_the_connection_goes_on(
    session: _http2.Http2Session,
) -> None:
    session.receive(of_length(1, 4 << 20))
    assert reset(session, frames.ENHANCE_YOUR_CALM)
    # Four times the connection's window: what is dropped has to open it again.
    for _ in range(256):
        session.receive(data(1, b"x" * 16_384))
        assert session.waiting == 0
    assert set(session.to_send()[3::13]) == {frames.WINDOW_UPDATE}
    (request,) = session.receive(of_length(3, 4) + data(3, b"body", last=True))
    assert request.body == b"body"
    assert session.over_limit == [TOO_BIG]


def test_a_body_that_announces_nothing_is_refused_when_it_has_grown_over_the_limit(
    session: _http2.Http2Session,
) -> None:
    session.receive(head(1))
    for _ in range(LIMIT // 10_000):
        session.receive(data(1, b"x" * 10_000))
    assert session.over_limit == []
    session.receive(data(1, b"x"))
    assert session.to_send().endswith(frames.rst_stream(1, frames.ENHANCE_YOUR_CALM))
    assert session.over_limit == [TOO_BIG]
    assert session.waiting == 0


def test_bodies_that_are_over_the_limit_only_together_are_said_to_be(
    session: _http2.Http2Session,
) -> None:
    for number in (1, 3):
        session.receive(of_length(number, 60_000))
    for _ in range(4):
        session.receive(data(1, b"x" * 15_000) + data(3, b"x" * 10_001))
    assert session.to_send().endswith(frames.rst_stream(3, frames.ENHANCE_YOUR_CALM))
    assert session.over_limit == ["What has come of several messages"]
    assert session.waiting == 60_000


@pytest.mark.parametrize("length", ["x", "-1", "", "4.0", "²", "4, 5"])
def test_a_content_length_that_is_no_number_breaks_the_stream(
    session: _http2.Http2Session, length: str
) -> None:
    session.receive(of_length(1, length))
    assert reset(session, frames.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("length", "body"), [(3, b"body"), (5, b"body"), (1, None), (5, b""), (0, b"body")]
)
def test_a_content_length_that_the_data_does_not_have_breaks_the_stream(
    session: _http2.Http2Session, length: int, body: Optional[bytes]
) -> None:
    if body is None:
        requests = session.receive(of_length(1, length, flags=frames.END_STREAM))
    else:
        requests = session.receive(of_length(1, length) + data(1, body, last=True))
    assert requests == []
    assert reset(session, frames.PROTOCOL_ERROR)
    assert session.waiting == 0
    assert session.over_limit == []


def test_padding_and_trailers_do_not_count_for_the_content_length(
    session: _http2.Http2Session,
) -> None:
    padded = bytes([3]) + b"body" + b"\0" * 3
    sent = of_length(1, 4) + frames.frame(frames.DATA, frames.PADDED, 1, padded)
    trailers = frames.header_block((("a", "b"),))
    flags = frames.END_HEADERS | frames.END_STREAM
    (request,) = session.receive(sent + frames.frame(frames.HEADERS, flags, 1, trailers))
    assert request.body == b"body"
    (request,) = session.receive(of_length(3, 0, flags=frames.END_STREAM))
    assert request.body == b""
