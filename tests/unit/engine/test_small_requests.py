"""Requests that are small on the wire: none of them may cost more time or memory than is allowed."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest

from harness.engine import _codec_json, _messages
from harness.engine._codec_protobuf import ProtobufCodec
from harness.engine._query import Query, ServiceError, Unparsable

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
