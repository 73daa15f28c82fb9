"""gRPC with grpcio: what the library does by itself, and what it can be told to do."""

from __future__ import annotations

from typing import Callable

import grpc
import pytest

from harness.conformance.serving import wire
from harness.conformance.serving.check_http2 import SERVICE, call, status
from harness.conformance.serving.checks import PRICE, Subject

pytestmark = pytest.mark.xdist_group("shared server")


LIMIT = 64 * 1024 * 1024


@pytest.mark.parametrize("rows", [1, 500])
@pytest.mark.parametrize(
    "compression",
    [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate],
)
def test_grpcio_may_compress_as_it_likes(
    subject: Subject, compression: grpc.Compression, rows: int
) -> None:
    body = wire.request_message(rows=rows).SerializeToString()
    answer = call(subject.port, f"/{SERVICE}/inference", body, compression=compression)
    assert wire.response_message(answer).outputs[0].tensor[0].float_data == [PRICE] * rows


def test_a_client_that_does_not_name_gzip_gets_none(subject: Subject) -> None:
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/{SERVICE}/inference"),
        (":authority", "a"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    message = wire.request_message(rows=200).SerializeToString()
    body = b"\0" + len(message).to_bytes(4, "big") + message
    answer = wire.http2(subject.port, headers, body)
    assert answer.body[0] == 0
    assert "grpc-encoding" not in answer.headers
    assert wire.response_message(answer.body[5:]).outputs[0].tensor[0].float_data == [PRICE] * 200


def test_a_message_larger_than_every_window_comes_and_goes(subject: Subject) -> None:
    rows = 60_000
    body = wire.request_message(rows=rows).SerializeToString()
    assert len(body) > 3_000_000
    answer = call(subject.port, f"/{SERVICE}/inference", body)
    assert len(wire.response_message(answer).outputs[0].tensor[0].float_data) == rows


def named(name: str) -> bytes:
    """A request whose only feed has that name."""
    message = wire.request_message()
    message.tensor[0].name = message.tensor[0].alias_name = name
    body: bytes = message.SerializeToString()
    return body


LONG = {"ASCII": "y" * 20_000, "percent signs": "%" * 20_000, "Chinese": "价" * 20_000}


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize(
    ("make", "method", "code"),
    [
        (named, "inference", grpc.StatusCode.INTERNAL),
        (named, "y" * 20_000, grpc.StatusCode.UNIMPLEMENTED),
    ],
    ids=["a feed", "a method"],
)
def test_an_error_that_names_something_very_long_has_its_own_status(
    subject: Subject, make: Callable[[str], bytes], method: str, code: grpc.StatusCode, long: str
) -> None:
    found, text = status(subject.port, f"/{SERVICE}/{method}", make(LONG[long]))
    assert found == code, text[:200]
    assert text.startswith(f"[127.0.0.1:{subject.port}][E"), text[:200]


def test_a_message_over_max_body_size_is_refused(subject: Subject) -> None:
    at = len(subject.server.log())
    code, _ = status(subject.port, f"/{SERVICE}/inference", b"\0" * (LIMIT + 1))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    text = subject.server.wait_for_log("Set max_body_size", start=at)
    assert f"(protocol=h2) is bigger than {LIMIT} bytes, the stream will be reset" in text
