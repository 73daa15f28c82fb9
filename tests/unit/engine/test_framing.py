"""Bytes into messages: baidu_std, HTTP/1 and gRPC, in pieces of any size."""

from __future__ import annotations

import gzip
import urllib.parse

import pytest

from engine import _baidu_std, _compression, _grpc, _routes, _stream
from engine._http import HttpRequest
from engine._http1 import answer
from engine._query import ServiceError
from fuzz import engine as fuzz


@pytest.mark.filterwarnings("ignore:Unexpected end-group")
@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_no_damaged_input_breaks_a_parser(target: str) -> None:
    fuzz.fuzz(target, inputs=300 if target == "http2" else 2000, number=20)


def test_an_input_on_which_a_parser_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_data: bytes, _cuts: list[int]) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "SLOWEST_S", 0.05)
    monkeypatch.setitem(fuzz.TARGETS, "hangs", (lambda: [b"the input"], hang))
    with pytest.raises(AssertionError, match="hangs: TooSlow"):
        fuzz.fuzz("hangs", inputs=1, number=1)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("messages", [fuzz.baidu_std_messages, fuzz.http_messages])
def test_messages_come_out_whole_however_they_are_cut(messages: object, size: int) -> None:
    assert callable(messages)
    valid = messages()
    data = b"".join(valid)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    found, error = fuzz.read_stream(parts)
    assert error == ""
    assert found == [fuzz.read_stream([one])[0][0] for one in valid]


def test_both_protocols_may_take_turns_on_one_connection() -> None:
    frame, request = fuzz.baidu_std_messages()[0], fuzz.http_messages()[0]
    for parts in ([frame + request, frame], [request, frame[:2], frame[2:] + request]):
        found, error = fuzz.read_stream(parts)
        assert error == ""
        assert len(found) == 3


def test_a_chunked_body_comes_out_as_one() -> None:
    message = fuzz.read_stream([fuzz.http_messages()[1]])[0][0]
    assert isinstance(message, HttpRequest)
    assert message.body == fuzz.protobuf_body()


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


def test_a_head_without_an_end_is_refused() -> None:
    reader = _stream.MessageReader(1 << 30)
    reader.receive(b"GET / HTTP/1.1\r\n")
    for _ in range(64):
        reader.receive(b"x: " + b"y" * 1000 + b"\r\n")
    with pytest.raises(_stream.Unanswerable, match="the head is larger"):
        reader.receive(b"x: y\r\n" * 1000)


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na",
        b"nonsense without a version\r\n\r\n",
    ],
)
def test_a_head_that_two_servers_could_read_differently_is_refused(head: bytes) -> None:
    with pytest.raises(_stream.Unanswerable):
        _stream.MessageReader(4096).receive(head)


def test_an_answer_has_the_real_servers_headers_in_its_order() -> None:
    json = [("Content-Type", "application/json")]
    assert answer(200, json, b"{}") == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
    )
    assert answer(400, [("x-bd-error-code", "1003")], b"no", close=True) == (
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n"
        b"x-bd-error-code: 1003\r\nConnection: close\r\n\r\nno"
    )


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


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("/GeneralModelService/inference", _routes.Method("inference")),
        ("//GeneralModelService//inference/", _routes.Method("inference")),
        (f"/{_routes.FULL_SERVICE}/debug", _routes.Method("debug")),
        ("/health", _routes.Page("health")),
    ],
)
def test_a_path_means_a_method_or_a_page(path: str, meaning: object) -> None:
    assert _routes.of_path(path) == meaning


@pytest.mark.parametrize("path", ["/", "/metrics", "/GeneralModelService/inference/more", "/x"])
def test_any_other_path_is_an_error_that_names_it(path: str) -> None:
    error = _routes.of_path(path)
    assert isinstance(error, ServiceError)
    assert error.text == f"Fail to find method on `{path}'"
