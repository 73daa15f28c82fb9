"""Bytes into messages: baidu_std, HTTP/1 and HTTP/2, in pieces of any size."""

from __future__ import annotations

import gzip
import time
import tracemalloc

import pytest

from bench import fuzz_engine
from engine import _baidu_std, _grpc, _http2, _routes, _stream
from engine import _http2_frames as frames
from engine._http1 import HttpRequest, answer
from engine._query import ServiceError


@pytest.mark.filterwarnings("ignore:Unexpected end-group")
@pytest.mark.parametrize("target", sorted(fuzz_engine.TARGETS))
def test_no_damaged_input_breaks_a_parser(target: str) -> None:
    fuzz_engine.fuzz(target, inputs=300 if target == "http2" else 2000, number=20)


@pytest.mark.filterwarnings("ignore:Unexpected end-group")
@pytest.mark.parametrize("target", sorted(fuzz_engine.TARGETS))
def test_the_properties_hold_for_generated_inputs(target: str) -> None:
    fuzz_engine.properties(target, inputs=40, number=3)()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_messages_of_both_protocols_come_out_whole_however_they_are_cut(size: int) -> None:
    valid = fuzz_engine.valid_messages()
    data = b"".join(valid)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    messages, error = fuzz_engine.read_stream(parts)
    assert error == ""
    at_once = [fuzz_engine.read_stream([one])[0][0] for one in valid]
    assert messages == at_once


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_of_a_head_may_end_without_their_cr(size: int) -> None:
    typed = b"POST /a HTTP/1.1\nContent-Length: 4\r\nHost: x\n\n\r\n\r\nGET /b HTTP/1.0\n\r\n"
    parts = [typed[at : at + size] for at in range(0, len(typed), size)]
    messages, error = fuzz_engine.read_stream(parts)
    assert error == ""
    assert [(one.head.path, one.body) for one in messages] == [("/a", b"\r\n\r\n"), ("/b", b"")]


def test_a_chunked_body_comes_out_as_one() -> None:
    request = fuzz_engine.valid_messages()[4]
    message = fuzz_engine.read_stream([request])[0][0]
    assert isinstance(message, HttpRequest)
    assert message.body == fuzz_engine.protobuf_body()


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (_baidu_std.HEADER.pack(b"PRPC", 5000, 10), "baidu_std"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", "http"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n", "http"),
    ],
)
def test_a_body_over_the_limit_is_refused_before_it_comes(data: bytes, protocol: str) -> None:
    reader = _stream.MessageReader(4096)
    with pytest.raises(_stream.Unanswerable) as refused:
        reader.receive(data)
    assert refused.value.too_big
    assert refused.value.protocol == protocol


def test_a_head_without_an_end_is_refused() -> None:
    reader = _stream.MessageReader(1 << 30)
    reader.receive(b"GET / HTTP/1.1\r\n")
    for _ in range(65):
        reader.receive(b"x: " + b"y" * 1000 + b"\r\n")
    with pytest.raises(_stream.Unanswerable, match="the head is larger"):
        reader.receive(b"x: y\r\n" * 100)


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"nonsense without a version\r\n\r\n",
    ],
)
def test_a_head_that_two_servers_could_read_differently_is_refused(head: bytes) -> None:
    with pytest.raises(_stream.Unanswerable):
        _stream.MessageReader(4096).receive(head)


def test_an_answer_has_the_real_servers_headers_in_its_order() -> None:
    assert answer(200, b"{}", "application/json") == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
    )
    assert answer(400, b"no", "text/plain", error_code=1003, close=True) == (
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n"
        b"x-bd-error-code: 1003\r\nConnection: close\r\n\r\nno"
    )


def test_a_grpc_message_is_unwrapped_and_a_bad_one_refused() -> None:
    assert _grpc.unwrap(_grpc.wrap(b"abc"), "", 100) == b"abc"
    packed = _grpc.wrap(gzip.compress(b"abc"), compressed=True)
    assert _grpc.unwrap(packed, "gzip", 100) == b"abc"
    for body in (b"", b"\0\0\0\0", b"\0\0\0\0\2a", b"\1\0\0\0\1a", b"\2\0\0\0\1a"):
        with pytest.raises(_grpc.BadMessage):
            _grpc.unwrap(body, "", 100)


def test_http2_bodies_over_the_limit_are_reset_and_forgotten() -> None:
    import h2.config
    import h2.connection
    import h2.events

    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    session = _http2.Http2Session(4096)
    session.receive(client.data_to_send())
    client.receive_data(session.to_send())
    headers = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
    client.send_headers(1, headers)
    client.send_data(1, b"x" * 5000)
    session.receive(client.data_to_send())
    events = client.receive_data(session.to_send())
    assert any(isinstance(event, h2.events.StreamReset) for event in events)
    assert session.waiting == 0


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("/GeneralModelService/inference", _routes.Method("inference")),
        ("//GeneralModelService//inference/", _routes.Method("inference")),
        (f"/{_routes.FULL_SERVICE}/debug", _routes.Method("debug")),
        ("/", _routes.Page("index", "")),
        ("/flags/port", _routes.Page("flags", "port")),
    ],
)
def test_a_path_means_a_method_or_a_page(path: str, meaning: object) -> None:
    assert _routes.of_path(path) == meaning


@pytest.mark.parametrize("path", ["/metrics", "/GeneralModelService/inference/more", "/x"])
def test_any_other_path_is_an_error_that_names_it(path: str) -> None:
    error = _routes.of_path(path)
    assert isinstance(error, ServiceError)
    assert error.text == f"Fail to find method on `{path}'"


def test_a_name_that_a_client_made_long_is_neither_kept_nor_echoed_whole() -> None:
    path = "/" + "x" * 10_000
    for meaning in (
        _routes.of_path(path),
        _routes.of_names(path, "inference"),
        _routes.of_names("GeneralModelService", path),
    ):
        assert isinstance(meaning, ServiceError)
        assert "/xxx" in meaning.text
        assert len(meaning.text) < 400
    tracemalloc.start()
    try:
        for number in range(200):
            _routes.of_path(f"/{number}" + "x" * 10_000)
            _routes.of_names(f"{number}" + "x" * 10_000, "inference")
            frames.header_block((("content-type", f"{number}" + "x" * 10_000),))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000


@pytest.mark.parametrize("whole", [True, False])
def test_a_meta_of_megabytes_is_refused_and_not_parsed(whole: bool) -> None:
    # Fields that nobody knows, which protobuf would keep one by one.
    meta = b"\x42\x00" * (1 << 20)
    data = _baidu_std.HEADER.pack(b"PRPC", len(meta), len(meta)) + meta
    reader = _stream.MessageReader(1 << 30)
    with pytest.raises(_stream.Unanswerable, match="is larger than 1048576 bytes"):
        reader.receive(data if whole else data[:100])


def test_a_run_of_empty_lines_costs_one_step() -> None:
    reader = _stream.MessageReader(1 << 20)
    lines = b"\r\n" * (1 << 19)
    began = time.process_time()
    assert reader.receive(lines) == []
    # One step for each of the million bytes takes more than a second.
    assert time.process_time() - began < 0.3
    assert reader.waiting == 0


def test_an_input_on_which_a_parser_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_data: bytes, _cuts: list[int]) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz_engine, "SLOWEST_S", 0.05)
    monkeypatch.setitem(fuzz_engine.TARGETS, "hangs", (lambda: [b"the input"], hang))
    with pytest.raises(AssertionError, match="hangs: TooSlow"):
        fuzz_engine.fuzz("hangs", inputs=1, number=1)
