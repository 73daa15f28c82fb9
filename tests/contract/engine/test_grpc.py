"""gRPC with grpcio: what the library does by itself, and what it can be told to do."""

from __future__ import annotations

import json
from typing import Any, Callable

import grpc
import pytest

from engine import _grpc
from harness.conformance.serving import wire
from harness.conformance.serving.check_http2 import SERVICE, call, status
from harness.conformance.serving.checks import JSON_BODY, PRICE, Subject

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


def headers_with(content_type: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/{SERVICE}/inference"),
        (":authority", "a"),
        ("content-type", content_type),
        ("te", "trailers"),
    ]


def test_a_client_that_does_not_name_gzip_gets_none(subject: Subject) -> None:
    headers = headers_with("application/grpc")
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


def named(name: str, **fields: Any) -> bytes:
    """A request whose only feed has that name, and other fields exchanged."""
    message = wire.request_message()
    tensor = message.tensor[0]
    tensor.name = tensor.alias_name = name
    for field, value in fields.items():
        tensor.ClearField(field)
        if isinstance(value, list):
            getattr(tensor, field).extend(value)
        else:
            setattr(tensor, field, value)
    body: bytes = message.SerializeToString()
    return body


LONG = {"ASCII": "y" * 20_000, "percent signs": "%" * 20_000, "Chinese": "价" * 20_000}


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize(
    ("make", "method", "code"),
    [
        (named, "inference", grpc.StatusCode.INTERNAL),
        (lambda name: named(name, shape=[]), "inference", grpc.StatusCode.INTERNAL),
        (lambda name: named(name, shape=[-1, 13]), "inference", grpc.StatusCode.INTERNAL),
        (lambda name: named(name, shape=[2, 13]), "inference", grpc.StatusCode.INTERNAL),
        (lambda name: named(name, elem_type=77), "inference", grpc.StatusCode.INTERNAL),
        (named, "y" * 20_000, grpc.StatusCode.UNIMPLEMENTED),
    ],
    ids=["a feed", "no shape", "a shape", "elements", "a type", "a method"],
)
def test_an_error_that_names_something_very_long_has_its_own_status(
    subject: Subject, make: Callable[[str], bytes], method: str, code: grpc.StatusCode, long: str
) -> None:
    found, text = status(subject.port, f"/{SERVICE}/{method}", make(LONG[long]))
    assert found == code, text[:200]
    assert text.startswith(f"[127.0.0.1:{subject.port}][E"), text[:200]


def test_a_very_long_content_type_breaks_no_connection(subject: Subject) -> None:
    long = "; a=" + "b" * 20_000
    answer = wire.http2(subject.port, headers_with(f"application/json{long}"), JSON_BODY)
    assert answer.headers["content-type"] == f"application/json{long}"
    assert json.loads(answer.body)["outputs"][0]["tensor"][0]["float_data"] == [PRICE]
    body = _grpc.wrap(wire.request_message().SerializeToString())
    answer = wire.http2(subject.port, headers_with(f"application/grpc{long}"), body)
    assert answer.trailers == {"grpc-status": "0"}
    # A gRPC client takes 8 kB of headers.
    assert answer.headers["content-type"] == "application/grpc"
    assert wire.response_message(answer.body[5:]).outputs[0].tensor[0].float_data == [PRICE]
