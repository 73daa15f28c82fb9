"""Requests that are small on the wire: none may cost more time or memory than is allowed."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from bench import amplifying, fuzz_amplifying, fuzz_engine
from bench.amplifying import DATA, LOD, NAME, SHAPE, field, varint
from engine import _codec_json, _messages
from engine._codec_protobuf import ProtobufCodec
from engine._query import Query, ServiceError, Unparsable

Decode = Callable[[dict[str, Any]], Query]


def from_json(fields: dict[str, Any], **options: Any) -> Query:
    return _codec_json.decode(json.dumps({"tensor": [fields]}).encode(), **options)


def from_protobuf(fields: dict[str, Any], **options: Any) -> Query:
    message = _messages.request_class()()
    message.tensor.add(**fields)
    return ProtobufCodec(**options).decode(message.SerializeToString())


both = pytest.mark.parametrize("decode", [from_json, from_protobuf])


@both
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("dims", [10, 400, 100_000])
def test_a_shape_of_more_dimensions_than_paddle_has_is_refused_before_they_are_multiplied(
    decode: Decode, dims: int, strict: bool
) -> None:
    fields = {"name": "x", "elem_type": 1, "float_data": [1.0], "shape": [2**31 - 1] * dims}
    with pytest.raises(ServiceError) as error:
        decode(fields, fill=strict)
    reason = f"feed x has {dims} dimensions, and no tensor of Paddle's has more than 9"
    assert error.value.text == f"InferService inference failed! {reason}"
    # Paddle raises where the real server makes the tensor's shape.
    assert error.value.real_dies


@both
def test_a_shape_of_as_many_dimensions_as_paddle_has_is_taken(decode: Decode) -> None:
    fields = {"name": "x", "elem_type": 1, "float_data": [1.0, 2.0], "shape": [1] * 8 + [2]}
    assert decode(fields).tensors[0].array.shape == (1, 1, 1, 1, 1, 1, 1, 1, 2)


@both
@pytest.mark.parametrize(
    "fields",
    [
        {"name": "\x01" * 1_000_000, "elem_type": 99},
        {"name": "\x01" * 60_000, "elem_type": 1, "shape": [1], "float_data": [1, 2]},
        {"name": "x" * 60_000, "elem_type": 1, "shape": [-1]},
        {"name": "é" * 30_000, "elem_type": 1, "shape": [1], "float_data": [1], "lod": [5]},
    ],
)
def test_a_reason_is_cut_whatever_the_client_sent(decode: Decode, fields: dict[str, Any]) -> None:
    with pytest.raises((ServiceError, Unparsable)) as error:
        decode(fields)
    assert len(str(error.value)) <= 1003
    if isinstance(error.value, ServiceError):
        assert len(error.value.text) <= 1003
        assert error.value.text.endswith("...")


@pytest.mark.parametrize("value", ["x" * 1_000_000, 1e308, [[1] * 100_000], {"a": "b" * 100_000}])
def test_a_value_of_the_wrong_type_is_echoed_cut(value: Any) -> None:
    with pytest.raises(Unparsable) as error:
        from_json({"name": "x", "elem_type": 1, "shape": [value]})
    assert len(str(error.value)) < 1000


TENSOR, FETCH, ALIAS = 1, 2, 14
# elem_type string, shape [1]
STRING_OF_1 = b"\x50\x14\x58\x01"
MIB = 1 << 20


@pytest.mark.parametrize(
    "parts",
    [
        field(DATA, b""),
        # a number with a tag of its own, as only a client made by hand sends it
        b"\x08\x01",
        # fields that nobody knows, which protobuf keeps: a number, bytes, a group
        b"\x80\x02\x00",
        b"\x82\x02\x00",
        b"\x83\x02\x84\x02",
        # a tag that is longer than it has to be
        b"\xca\x80\x00\x00",
    ],
)
@pytest.mark.parametrize("tensors", [1, 50])
def test_millions_of_fields_within_tensors_are_not_built_in_memory(
    parts: bytes, tensors: int
) -> None:
    body = field(TENSOR, parts * (2_000_000 // tensors) + STRING_OF_1) * tensors
    with pytest.raises(
        Unparsable, match="more than 262144 strings and other fields in its tensors"
    ):
        ProtobufCodec().decode(body)


@pytest.mark.parametrize("parts", [field(FETCH, b""), b"\x08\x01", b"\x0b\x0c"])
def test_a_group_that_nobody_knows_hides_no_fields(parts: bytes) -> None:
    body = b"\x0b" + parts * 1_000_000 + b"\x0c"
    with pytest.raises(Unparsable, match="more than 4096 tensors and names"):
        ProtobufCodec().decode(body)


def test_what_an_unknown_group_holds_is_taken_for_no_tensor() -> None:
    # Its bytes would begin with a field that ends far behind the body.
    group = b"\xa3\x06" + field(TENSOR, b"\x52\xff\xff\xff\x7f") + b"\xa4\x06"
    with pytest.raises(Unparsable, match="more than 4096 tensors and names"):
        ProtobufCodec().decode(group + field(TENSOR, b"") * 100_000)


def test_a_tag_that_protobuf_would_cut_to_32_bits_is_refused() -> None:
    # Field 1, with bits above those that count.
    body = b"\x8a\x80\x80\x80\x10" + varint(400_000) + field(DATA, b"") * 200_000
    with pytest.raises(Unparsable, match="a tag of more than 32 bits"):
        ProtobufCodec().decode(body)


def test_some_thousand_strings_and_unpacked_numbers_are_taken() -> None:
    for parts, elements in (
        (field(DATA, b"ab") * 60_000 + b"\x50\x14", 180_000),
        (b"\x08\x01" * 60_000, 60_000),
    ):
        body = field(TENSOR, parts + field(SHAPE, varint(elements)))
        assert ProtobufCodec().decode(body).tensors[0].array.size == elements


@pytest.mark.parametrize(
    "body",
    [
        field(TENSOR, field(NAME, b"x" * 100_000)),
        field(FETCH, b"x" * 100_000),
        field(TENSOR, field(ALIAS, b"x" * 100_000)),
    ],
    ids=["feed", "fetch", "alias"],
)
def test_a_name_of_a_hundred_thousand_bytes_is_no_name(body: bytes) -> None:
    with pytest.raises(Unparsable, match="a name of 100000 bytes"):
        ProtobufCodec().decode(body)


def test_text_that_python_keeps_in_four_bytes_a_character_is_counted_so() -> None:
    wide = "😀".encode()
    body = field(TENSOR, field(DATA, b"x" * MIB + wide) + STRING_OF_1)
    assert ProtobufCodec(most=16 * MIB).decode(body).tensors[0].array.size == 1
    with pytest.raises(Unparsable, match="text would take more than 4194304 bytes"):
        ProtobufCodec(most=4 * MIB).decode(body)
    plain = field(TENSOR, field(DATA, b"x" * MIB) + STRING_OF_1)
    assert ProtobufCodec(most=4 * MIB).decode(plain).tensors[0].array.size == 1


def test_the_offsets_of_a_lod_are_counted_as_python_keeps_them() -> None:
    tensor = b"\x0a\x01\x01\x58\x01" + field(LOD, b"\x00" * 299_999 + b"\x01")
    body = field(TENSOR, tensor)
    assert len(ProtobufCodec(most=64 * MIB).decode(body).tensors[0].lod) == 300_000
    for refused in (body * 5, body):
        with pytest.raises(Unparsable, match="lods would take more than"):
            ProtobufCodec(most=len(refused) * 40).decode(refused)


def test_a_json_body_of_thousands_of_tensors_is_refused_before_they_are_made() -> None:
    body = b'{"tensor":[' + b",".join([b'{"shape":[0]}'] * 5000) + b"]}"
    with pytest.raises(Unparsable, match="more than 4096 tensors"):
        _codec_json.decode(body)


def test_requests_of_one_read_wait_while_the_answers_before_them_lie_unsent(tmp_path: Path) -> None:
    rows = 500_000
    numbers = b",".join([b"1"] * rows)
    body = b'{"tensor":[{"name":"x","elem_type":1,"float_data":[%s],"shape":[%d,1]}]}'
    packed = gzip.compress(body % (numbers, rows))
    head = b"POST /GeneralModelService/inference HTTP/1.1\r\nContent-Encoding: gzip\r\n"
    one = head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed
    wire = tmp_path / "wire"
    wire.write_bytes(one * 20)
    assert len(one) * 20 < 256 * 1024
    most = asyncio.run(fuzz_amplifying.serve(wire, tmp_path / "log", requests=20))
    # Each answer has two megabytes, and some requests are taken on together.
    assert 2 * rows <= most < 10 * MIB


def test_behind_a_broken_http2_frame_nothing_that_waited_is_taken_on(tmp_path: Path) -> None:
    async def run() -> int:
        connection, transport = fuzz_amplifying.connected(tmp_path / "log")
        calls = fuzz_engine.http2_bytes()
        preface = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        connection.data_received(calls[:preface])
        connection.pause_writing()
        before = transport.answers
        # DATA on stream 0, which is no stream; then two calls, which came too late.
        connection.data_received(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00a")
        for at in range(preface, len(calls), 40):
            connection.data_received(calls[at : at + 40])
        connection.resume_writing()
        # Its turn, and the end behind that.
        for _ in range(2):
            await asyncio.sleep(0)
        assert transport.closed
        return transport.answers - before

    # The farewell.
    assert asyncio.run(run()) == 1


def fuzz(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the children that are measured are forked from a small one."""
    return subprocess.run(
        [sys.executable, "-m", "bench.fuzz_amplifying", *words],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_no_input_of_one_thing_many_times_over_takes_too_much() -> None:
    done = fuzz("--seed", "3", "--seconds", "20", "--inputs", str(len(amplifying.KINDS)))
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(kind in done.stdout for kind in amplifying.KINDS)


def test_an_input_that_takes_too_much_is_named() -> None:
    done = fuzz("--seconds", "0", "--inputs", "1")
    assert done.returncode == 1
    assert "AssertionError: ordinary, HTTP: 1 requests of" in done.stderr
