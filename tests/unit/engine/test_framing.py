"""Bytes into messages: baidu_std, HTTP/1 and gRPC, in pieces of any size."""

from __future__ import annotations

import gzip
import urllib.parse

import pytest

from engine import _baidu_std, _compression, _grpc, _stream
from fuzz import engine as fuzz


@pytest.mark.filterwarnings("ignore:Unexpected end-group")
@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_no_damaged_input_breaks_a_parser(target: str) -> None:
    fuzz.fuzz(target, inputs=300 if target == "http2" else 2000, number=20)


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (_baidu_std.HEADER.pack(b"PRPC", 5000, 10), "baidu_std"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", "http"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 4097,
            "http",
        ),
    ],
)
def test_a_body_over_the_limit_is_refused_before_it_is_whole(data: bytes, protocol: str) -> None:
    reader = _stream.MessageReader(4096)
    with pytest.raises(_stream.Unanswerable) as refused:
        reader.receive(data)
    assert refused.value.too_big
    assert refused.value.protocol == protocol


def test_a_grpc_message_is_unwrapped_and_a_bad_one_refused() -> None:
    assert _grpc.unwrap(_grpc.wrap(b"abc"), "", 100) == b"abc"
    packed = _grpc.wrap(gzip.compress(b"abc"), compressed=True)
    assert _grpc.unwrap(packed, "gzip", 100) == b"abc"
    for body in (b"", b"\0\0\0\0", b"\0\0\0\0\2a", b"\1\0\0\0\1a", b"\2\0\0\0\1a"):
        with pytest.raises(_compression.BadCompression):
            _grpc.unwrap(body, "", 100)


@pytest.mark.parametrize("character", ["x", "%", "é", "价", "😀"])
def test_the_text_of_a_grpc_error_is_cut_to_what_clients_accept(character: str) -> None:
    text = "[E-5100]" + character * 100
    assert urllib.parse.unquote(_grpc.status_message(text)) == text
    # grpcio accepts 8 kB of headers in all, and so does netty.
    assert len(_grpc.status_message(character * 20_000)) <= 6000
