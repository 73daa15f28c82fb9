"""Every type that a client can send, through every protocol, into a real model and back.

The compiled client sends float32, int64, int32, strings, float16, uint8 and int8; HttpClient the
first four.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from harness.conformance.serving import wire
from harness.conformance.serving.check_clients import ask
from harness.conformance.serving.check_http import JSON
from harness.conformance.serving.checks import Subject
from harness.conformance.serving.server import Launched
from tests.contract.engine.asking_more import NUMBERS, PACKED
from tests.contract.engine.conftest import ASKING_MORE, more_model

# A string's bytes and the 0 behind them, each plus one.
STRING_1 = [ord(one) + 1 for one in "abcde"] + [1]


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


def test_a_type_that_the_model_does_not_take_is_refused_with_the_reason(subject: Subject) -> None:
    tensor = {"name": "x", "elem_type": 3, "shape": [1, 13], "float64_data": [1.0] * 13}
    answer = wire.http(subject.port, json.dumps({"tensor": [tensor]}).encode(), headers=JSON)
    assert answer.status == 500
    reason = "feed x is float64, the model takes float32"
    assert f"[E-5100]InferService inference failed! {reason}" in answer.body.decode()
