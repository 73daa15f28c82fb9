"""HTTP/2 with prior knowledge: JSON, and gRPC with grpcio."""

from __future__ import annotations

import gzip
import json
from typing import Any, Callable

import grpc

from . import wire
from .checks import JSON_BODY, PRICE, Differs, Subject, holds, same

SERVICE = "baidu.paddle_serving.predictor.general_model.GeneralModelService"


def call(port: int, path: str, body: bytes, **options: Any) -> bytes:
    """One gRPC call with raw bytes as message."""
    nothing: Callable[[bytes], bytes] = bytes
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(path, request_serializer=nothing, response_deserializer=bytes)
        answer: bytes = method(body, timeout=20, **options)
        return answer


def _message(data: bytes) -> bytes:
    """Return gRPC's frame of one message that is not compressed."""
    return b"\0" + len(data).to_bytes(4, "big") + data


def status(port: int, path: str, body: bytes) -> tuple[Any, str]:
    """Code and details of a call that fails."""
    try:
        call(port, path, body)
    except grpc.RpcError as error:
        return error.code(), str(error.details())
    raise Differs("the call succeeded")


def grpc_service(subject: Subject, name: str) -> None:
    """The name {name} works."""
    body = wire.request_message().SerializeToString()
    answer = wire.response_message(call(subject.port, f"/{name}/inference", body))
    same(answer.outputs[0].tensor[0].float_data[0], PRICE)


def grpc_gzip_message(subject: Subject) -> None:
    """A message compressed with gzip is understood."""
    body = wire.request_message(rows=20).SerializeToString()
    path = f"/{SERVICE}/inference"
    answer = call(subject.port, path, body, compression=grpc.Compression.Gzip)
    same(len(wire.response_message(answer).outputs[0].tensor[0].float_data), 20, "rows")


def grpc_gzip_answer(subject: Subject) -> None:
    """Answers are compressed with gzip from 512 bytes on (brpc's source)."""
    headers = [
        *_headers(subject.port, f"/{SERVICE}/inference", "application/grpc"),
        ("te", "trailers"),
        ("grpc-accept-encoding", "identity, deflate, gzip"),
    ]
    seen = set()
    for rows in range(90, 120):
        body = _message(wire.request_message(rows=rows).SerializeToString())
        answer = wire.http2(subject.port, headers, body)
        same(answer.trailers.get("grpc-status"), "0", "grpc-status")
        encoding = answer.headers.get("grpc-encoding", "")
        same(answer.body[0], int(encoding == "gzip"), "the flag of the message")
        message = gzip.decompress(answer.body[5:]) if encoding else answer.body[5:]
        same(len(wire.response_message(message).outputs[0].tensor[0].float_data), rows, "rows")
        same(encoding, "gzip" if len(message) >= 512 else "", f"at {len(message)} bytes")
        seen.add(encoding)
    same(seen, {"", "gzip"}, "encodings")


def _grpc_refused(subject: Subject, method: str, body: bytes, code: str, text: str) -> None:
    """Raises ``Differs`` unless the call fails with this status and the text in its details."""
    seen, details = status(subject.port, f"/{SERVICE}/{method}", body)
    same(seen.name, code)
    holds(f"[{text}]" in details, details)


def grpc_empty_request(subject: Subject) -> None:
    """An empty request: INTERNAL, E-5100."""
    _grpc_refused(subject, "inference", b"", "INTERNAL", "E-5100")


def grpc_unknown_method(subject: Subject) -> None:
    """An unknown method: UNIMPLEMENTED, E1002."""
    _grpc_refused(subject, "nope", b"", "UNIMPLEMENTED", "E1002")


def grpc_garbage(subject: Subject) -> None:
    """Bytes that are no message: INVALID_ARGUMENT, E1003."""
    _grpc_refused(subject, "inference", b"\xff\xff\xff", "INVALID_ARGUMENT", "E1003")


def _headers(port: int, path: str, content_type: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", f"127.0.0.1:{port}"),
        ("content-type", content_type),
    ]


def json_over_h2c(subject: Subject) -> None:
    """JSON over h2c."""
    headers = _headers(subject.port, "/GeneralModelService/inference", "application/json")
    answer = wire.http2(subject.port, headers, JSON_BODY)
    same(answer.headers[":status"], "200")
    same(json.loads(answer.body)["outputs"][0]["tensor"][0]["float_data"], [PRICE])


def unknown_path_over_h2c(subject: Subject) -> None:
    """An unknown path over h2c: 404."""
    answer = wire.http2(subject.port, _headers(subject.port, "/nope", "application/json"), b"{}")
    same(answer.headers[":status"], "404")
