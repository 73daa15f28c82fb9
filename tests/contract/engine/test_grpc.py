"""gRPC with grpcio: what the library does by itself, and what it can be told to do."""

from __future__ import annotations

import grpc
import pytest

from bench.likeness import wire
from bench.likeness.check_http2 import SERVICE, call
from bench.likeness.checks import PRICE, Subject

pytestmark = pytest.mark.xdist_group("likeness")


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
