"""Queries in, answers out: JSON by json2pb's rules, and protobuf."""

from __future__ import annotations

import json
from typing import Any, Callable

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from engine import _codec_json, _messages
from engine._codec_protobuf import ProtobufCodec
from engine._prototxt import Variable
from engine._query import Answer, Fetched, Query, ServiceError, Unparsable

TENSOR = "baidu.paddle_serving.predictor.general_model.Tensor"
CASES = [
    ("float32", 1, "float_data", [1.5, -2.0]),
    ("int64", 0, "int64_data", [2**60, -1]),
    ("int32", 2, "int_data", [2**31 - 1, -(2**31)]),
    ("float64", 3, "float64_data", [0.1, 1e300]),
    ("bool", 9, "bool_data", [True, False]),
]


def from_json(*tensors: dict[str, Any], **fields: Any) -> Query:
    return _codec_json.decode(json.dumps({"tensor": tensors, **fields}).encode())


def from_protobuf(*tensors: dict[str, Any], **fields: Any) -> Query:
    message = _messages.request_class()(**fields)
    for tensor in tensors:
        message.tensor.add(**tensor)
    return ProtobufCodec().decode(message.SerializeToString())


BOTH = [from_json, from_protobuf]
Read = Callable[..., Query]


@pytest.mark.parametrize("read", BOTH)
@pytest.mark.parametrize(("dtype", "number", "field", "values"), CASES)
def test_every_type_of_element_is_read_alike_from_json_and_protobuf(
    read: Read, dtype: str, number: int, field: str, values: list[Any]
) -> None:
    tensor = {"name": "x", "elem_type": number, field: values, "shape": [2]}
    query = read(tensor, fetch_var_names=["a"], log_id=2**63)
    ((name, array, lod),) = query.tensors
    assert (name, array.dtype.name, array.tolist(), lod) == ("x", dtype, values, ())
    assert (query.fetch, query.log_id, query.profile) == (("a",), 2**63, False)


@pytest.mark.parametrize(("dtype", "number"), [("float16", 5), ("uint8", 7), ("int8", 8)])
def test_raw_elements_come_in_tensor_content(dtype: str, number: int) -> None:
    content = np.array([1, 2, 3], dtype).tobytes()
    tensor = {"name": "x", "elem_type": number, "shape": [3, 1], "tensor_content": content}
    ((_, array, _),) = from_protobuf(tensor).tensors
    assert array.dtype.name == dtype
    assert array.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("strings", "shape", "elements"),
    [
        (["ab"], [3], [97, 98, 0]),
        (["ab"], [1, 2], [[97, 98]]),
        (["a", "é"], [5], [97, 0, 0xC3, 0xA9, 0]),
        (["a" * 50], [2], [97, 97]),
    ],
)
@pytest.mark.parametrize("read", BOTH)
def test_a_string_gives_as_many_of_its_bytes_as_the_shape_takes(
    read: Read, strings: list[str], shape: list[int], elements: list[Any]
) -> None:
    tensor = {"name": "x", "elem_type": 20, "data": strings, "shape": shape}
    ((_, array, _),) = read(tensor).tensors
    assert (array.dtype.name, array.tolist()) == ("uint8", elements)


def test_null_and_unknown_fields_are_passed_over() -> None:
    tensor = {"name": "x", "elem_type": 1, "float_data": [1], "shape": [1], "lod": None, "q": 1}
    query = from_json(tensor, fetch_var_names=None, what={}, log_id="a")
    assert query.tensors[0].array.tolist() == [1.0]
    assert query.log_id == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [3]}, "feed x has 2 elements of float32, but its shape [3] takes 3"),
        ({"shape": []}, "feed x has no shape"),
        ({"shape": [-1, 2]}, "the negative dimension -1"),
        ({"elem_type": 99}, "the unknown elem_type 99"),
        ({"elem_type": 4, "int_data": [1, 2]}, "elem_type 4 (int16), which Paddle Inference does"),
        ({"elem_type": 20}, "feed x has no string"),
        ({"elem_type": 20, "data": ["a"], "shape": [3]}, "has 2 elements of string, but its shape"),
        ({"lod": [0, 3, 1]}, "the lod [0, 3, 1], which does not rise from 0 to its 2 rows"),
        ({"lod": [1, 2]}, "does not rise from 0"),
    ],
)
def test_a_feed_that_cannot_be_is_refused_with_the_reason(
    change: dict[str, Any], reason: str
) -> None:
    tensor = {"name": "x", "elem_type": 1, "float_data": [1, 2], "shape": [2, 1], **change}
    with pytest.raises(ServiceError) as error:
        from_json(tensor)
    assert error.value.code == -5100
    assert reason in error.value.text


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "\x01" * 1_000_000, "elem_type": 99},
        {"name": "\x01" * 60_000, "elem_type": 1, "shape": [1], "float_data": [1, 2]},
        {"name": "x" * 60_000, "elem_type": 1, "shape": [-1]},
        {"name": "é" * 30_000, "elem_type": 1, "shape": [1], "float_data": [1], "lod": [5]},
    ],
)
@pytest.mark.parametrize("read", BOTH)
def test_a_reason_is_cut_whatever_the_client_sent(read: Read, fields: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as error:
        read(fields)
    assert len(error.value.text) <= 1003
    assert error.value.text.endswith("...")


def test_an_answer_is_written_alike_in_json_and_protobuf() -> None:
    arrays = [
        np.array([[0.5, 2.0]], "float32"),
        np.array([[2**40]], "int64"),
        np.array([7], "int32"),
        np.array([1.5], "float16"),
    ]
    fetched = tuple(
        Fetched(Variable(f"name{n}", f"alias{n}", 0, (), False), array, (0, 1) if n == 1 else ())
        for n, array in enumerate(arrays)
    )
    answer = Answer("GeneralInferOp_0", fetched, (10, 20))
    in_json = json.loads(_codec_json.encode(answer))
    message = _messages.response_class().FromString(ProtobufCodec().encode(answer))
    as_json = json_format.MessageToDict(message, preserving_proto_field_name=True)
    # protobuf's own JSON writes 64-bit numbers as text.
    as_json["outputs"][0]["tensor"][1]["int64_data"] = [2**40]
    as_json["profile_time"] = [int(one) for one in as_json["profile_time"]]
    assert as_json == in_json
    assert list(in_json["outputs"][0]["tensor"][0]) == [
        "float_data",
        "elem_type",
        "shape",
        "name",
        "alias_name",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "bool"])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_the_elements_of_an_answer_are_written_as_they_are(dtype: str, size: int) -> None:
    random = np.random.default_rng(3)
    array = (random.standard_normal((size, 1)) * 1e5).astype(dtype)
    if dtype.startswith("float") and size > 1:
        array[1] = np.nan
        array[-1] = np.inf
    answer = Answer("e", (Fetched(Variable("n", "a", 0, (), False), array, ()),), (1, 2))
    field = next(field for name, _, field, _ in CASES if name == dtype)
    (tensor,) = json.loads(_codec_json.encode(answer))["outputs"][0]["tensor"]
    elements = array.ravel().tolist()
    finite = [one if np.isfinite(one) else None for one in elements]
    assert tensor.get(field, []) == finite
    message = _messages.response_class().FromString(ProtobufCodec().encode(answer))
    written = np.array(getattr(message.outputs[0].tensor[0], field), dtype)
    assert np.array_equal(written, array.ravel(), equal_nan=dtype.startswith("float"))


SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**31 - 1]), max_size=40)
FIELDS = st.sampled_from(["float_data", "int64_data", "int_data", "float64_data", "bool_data"])
NUMBERS = st.sampled_from([0, 1, 2, -1, 40000, 2**31 - 1, -(2**31)])


@seed(5)
@settings(max_examples=300, deadline=None, database=None)
@example([1] * 33, [], 1, "float_data", [1])
@example([0, 2**31 - 1, 2**31 - 1, 2**31 - 1], [], 1, "float_data", [])
@example([1], [], 4, "int_data", [40000])
@example([1], [], 20, "data", [])
@given(
    SHAPES,
    st.lists(st.integers(-1, 4), max_size=4),
    st.one_of(st.integers(-1, 21), st.sampled_from([2**31 - 1, -(2**31)])),
    FIELDS,
    st.lists(NUMBERS, max_size=6),
)
def test_any_shape_lod_and_type_gives_a_query_or_the_services_own_error(
    shape: list[int], lod: list[int], number: int, field: str, values: list[int]
) -> None:
    elements: list[Any] = [bool(one) for one in values] if field == "bool_data" else values
    tensor = {"name": "x", "elem_type": number, "shape": shape, "lod": lod, field: elements}
    got: list[Any] = []
    for read in BOTH:
        try:
            ((_, array, offsets),) = read(tensor).tensors
            got.append((array.dtype, array.shape, array.tobytes(), offsets))
        except ServiceError as error:
            got.append((error.code == -5100, error.text))
    assert got[0] == got[1]
    assert got[0][0] is not False


def test_numbers_that_json_has_no_word_for_may_be_text() -> None:
    tensors = [
        {"name": "x", "elem_type": 1, "float_data": ["NaN", "-Infinity", 1], "shape": [3]},
        {"name": "y", "elem_type": 0, "int64_data": [str(2**62), "-1", 2], "shape": [3]},
    ]
    floats, integers = from_json(*tensors).tensors
    assert [str(one) for one in floats.array] == ["nan", "-inf", "1.0"]
    assert integers.array.tolist() == [2**62, -1, 2]
    tensors[1]["int64_data"] = [str(2**63)]
    with pytest.raises(Unparsable, match="which SHOULD be INT64"):
        from_json(*tensors)


@pytest.mark.parametrize("broken", [b"\x0b", b"\xff" * 11, b"\x0a\xff\xff\xff\xff\x7f", b"\x07"])
def test_a_broken_message_is_refused(broken: bytes) -> None:
    message = _messages.request_class()()
    message.tensor.add(name="x", elem_type=1, shape=[100_000], float_data=[1.0] * 100_000)
    with pytest.raises(Unparsable):
        ProtobufCodec().decode(message.SerializeToString() + broken)
