"""Every type that a client can send, through every protocol, into a real model and back.

The compiled client sends float32, int64, int32, strings, float16, uint8 and int8; HttpClient the
first four. Paddle Inference takes float64 and bool besides, for which there are raw messages.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import pytest

from engine import _messages
from engine._query import ELEM_TYPES
from harness.conformance.serving import baidu_std, wire
from harness.conformance.serving.check_clients import ask
from harness.conformance.serving.check_http import JSON
from harness.conformance.serving.check_http2 import SERVICE, call
from harness.conformance.serving.checks import Subject
from harness.conformance.serving.server import Launched
from tests.contract.engine.asking_more import NUMBERS, PACKED
from tests.contract.engine.conftest import ASKING_MORE, more_model

NUMBER_OF = {kind.name: number for number, kind in ELEM_TYPES.items()}
# A string's bytes and the 0 behind them, each plus one.
STRING_1 = [ord(one) + 1 for one in "abcde"] + [1]
# Bytes that are no UTF-8 as well.
BYTES = {
    "float16": np.array([[0.5, 1, -1024], [3, 4, -5]], "float16"),
    "uint8": np.array([[0, 1, 2], [3, 4, 254]], "uint8"),
    "int8": np.array([[0, 1, 2], [3, 4, -128]], "int8"),
}
OTHERS = {
    "float64": np.array([[0.1, 1, 2], [3, 4, 1e300]], "float64"),
    "bool": np.array([[True, False, True], [False, False, True]]),
}


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, subject: Subject) -> Iterator[tuple[str, Launched]]:
    with subject.launch(more_model(request.param)) as launched:
        yield request.param, launched


def plus_one(feed: dict[str, Any]) -> dict[str, list[Any]]:
    """Type and elements of each output."""
    out = {}
    for name, value in feed.items():
        if name == "string":
            out[f"{name}_1"] = ["uint8", STRING_1]
        else:
            more = value + value.dtype.type(1)
            out[f"{name}_1"] = [value.dtype.name, more.tolist()]
    return out


def ask_more(subject: Subject, model: str, launched: Launched, *words: str) -> Any:
    asked = words or (model,)
    folder = more_model(model)
    return ask(subject, *asked, port=launched.port, model=folder, script=ASKING_MORE)[0]


@pytest.mark.parametrize("server", ["numbers", "packed"], indirect=True)
def test_the_compiled_client_gets_each_type_back_that_it_can_send(
    subject: Subject, server: tuple[str, Launched]
) -> None:
    model, launched = server
    answer = ask_more(subject, model, launched)
    assert answer == plus_one(NUMBERS if model == "numbers" else PACKED)


@pytest.mark.parametrize("mode", ["JSON", "protobuf", "gRPC"])
@pytest.mark.parametrize("server", ["numbers"], indirect=True)
def test_http_client_gets_each_type_back_that_it_can_send(
    subject: Subject, server: tuple[str, Launched], mode: str
) -> None:
    model, launched = server
    answer = ask_more(subject, model, launched, "http numbers", mode)
    expected = {
        name: [int(one) if dtype == "int64" else one for one in np.ravel(elements)]
        for name, (dtype, elements) in plus_one(NUMBERS).items()
    }
    answer["int64_1"] = [int(one) for one in answer["int64_1"]]
    answer["string_1"] = list(base64.b64decode(answer["string_1"]))
    assert answer == expected


def tensors(feed: dict[str, Any]) -> list[dict[str, Any]]:
    """The feed as fields of the message ``Tensor``, bytes as bytes."""
    found = []
    for name, value in feed.items():
        kind = ELEM_TYPES[NUMBER_OF[name]]
        shape = [len(value) + 1] if name == "string" else list(value.shape)
        elements: Any = [value] if name == "string" else value.ravel().tolist()
        if kind.field == "tensor_content":
            elements = value.tobytes()
        found.append(
            {"name": name, "elem_type": NUMBER_OF[name], "shape": shape, kind.field: elements}
        )
    return found


def message(feed: dict[str, Any]) -> bytes:
    request = _messages.request_class()()
    for one in tensors(feed):
        request.tensor.add(**one)
    data: bytes = request.SerializeToString()
    return data


def read(response: Any) -> dict[str, list[Any]]:
    out = {}
    for tensor in response.outputs[0].tensor:
        kind = ELEM_TYPES[tensor.elem_type]
        elements = getattr(tensor, kind.field)
        if kind.field == "tensor_content":
            elements = np.frombuffer(elements, kind.dtype)
        array = np.array(elements, kind.dtype).reshape(list(tensor.shape))
        out[tensor.alias_name] = [kind.name, array.tolist()]
    return out


def over_json(port: int, feed: dict[str, Any]) -> dict[str, list[Any]]:
    texts = [
        {
            key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for key, value in one.items()
        }
        for one in tensors(feed)
    ]
    answer = wire.http(port, json.dumps({"tensor": texts}).encode(), headers=JSON)
    assert answer.status == 200, answer.body
    from google.protobuf import json_format

    return read(json_format.Parse(answer.body, _messages.response_class()()))


def over_http_protobuf(port: int, feed: dict[str, Any]) -> dict[str, list[Any]]:
    answer = wire.http(port, message(feed), headers={"Content-Type": "application/proto"})
    assert answer.status == 200, answer.body
    return read(wire.response_message(answer.body))


def over_grpc(port: int, feed: dict[str, Any]) -> dict[str, list[Any]]:
    return read(wire.response_message(call(port, f"/{SERVICE}/inference", message(feed))))


def over_baidu_std(port: int, feed: dict[str, Any]) -> dict[str, list[Any]]:
    answer = wire.baidu(port, baidu_std.request(SERVICE, "inference", message(feed), 1))
    assert answer.code == 0, answer.text
    return read(wire.response_message(gzip.decompress(answer.payload)))


@pytest.mark.parametrize("over", [over_json, over_http_protobuf, over_grpc, over_baidu_std])
@pytest.mark.parametrize("server", ["numbers", "packed", "others"], indirect=True)
def test_each_type_comes_back_over_each_protocol(
    server: tuple[str, Launched], over: Callable[[int, dict[str, Any]], dict[str, list[Any]]]
) -> None:
    model, launched = server
    feeds: dict[str, dict[str, Any]] = {"numbers": NUMBERS, "packed": BYTES, "others": OTHERS}
    feed = feeds[model]
    expected = plus_one(feed)
    if "bool" in feed:
        # What is not 0 is true, and one more than true is not 0.
        expected["bool_1"] = ["bool", np.ones((2, 3), bool).tolist()]
    assert over(launched.port, feed) == expected


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (3, "feed x is float64, the model takes float32"),
        (4, "feed x has the elem_type 4 (int16), which Paddle Inference does not take"),
        (6, "feed x has the elem_type 6 (bfloat16), which Paddle Inference does not take"),
        (9, "feed x is bool, the model takes float32"),
        (21, "feed x has the unknown elem_type 21"),
    ],
)
def test_a_type_that_model_or_paddle_does_not_take_is_refused_with_a_reason(
    subject: Subject, number: int, reason: str
) -> None:
    tensor = {
        "name": "x",
        "elem_type": number,
        "shape": [1, 13],
        "float_data": [1.0] * 13,
        "float64_data": [1.0] * 13,
        "int_data": [1] * 13,
        "bool_data": [True] * 13,
    }
    answer = wire.http(subject.port, json.dumps({"tensor": [tensor]}).encode(), headers=JSON)
    assert answer.status == 500
    assert "[E-5100]InferService inference failed! " + reason in answer.body.decode()
