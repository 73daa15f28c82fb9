"""Asks with models that only the engine's tests serve: see the suite's ``asking``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from harness.conformance.serving.asking import connected, http_client, main


def two(configuration: str, endpoint: str) -> Any:
    """The model with two inputs of different types and two outputs."""
    client = connected(configuration, endpoint)
    answer = client.predict(
        feed={
            "l": np.array([[1, 2, 3], [4, 5, 6]], "float32"),
            "r": np.array([[10, 20], [30, 2**40]], "int64"),
        },
        fetch=["mixed", "total"],
        batch=True,
    )
    return {name: value.tolist() for name, value in answer.items()}


def words(configuration: str, endpoint: str) -> Any:
    """The model with a lod tensor: two sequences of 2 and 3 words."""
    client = connected(configuration, endpoint)
    answer = client.predict(
        feed={"words": np.arange(1, 6, dtype="int64").reshape(5, 1), "words.lod": [0, 2, 5]},
        fetch=["sums"],
        batch=True,
    )
    return answer["sums"].tolist()


# The model of these types answers with each of them plus one.
NUMBERS = {
    "float32": np.array([[0.5, 1, 2], [3, 4, -5]], "float32"),
    "int64": np.array([[2**53, 1, 2], [3, 4, -(2**62)]], "int64"),
    "int32": np.array([[2**20, 1, 2], [3, 4, -(2**20)]], "int32"),
    "string": "abcde",
}
# The compiled client decodes the bytes of an answer as UTF-8, so the answers must be UTF-8.
PACKED = {
    "float16": np.array([[0.5, 1, 2], [3, 4, 5]], "float16"),
    "uint8": np.array([[0, 1, 2], [3, 4, 126]], "uint8"),
    "int8": np.array([[0, 1, 2], [3, 4, -1]], "int8"),
}


def _types(configuration: str, endpoint: str, feed: dict[str, Any]) -> Any:
    client = connected(configuration, endpoint)
    fetch = [f"{name}_1" for name in feed]
    answer = client.predict(feed=dict(feed), fetch=fetch, batch=True)
    return {name: [value.dtype.name, value.tolist()] for name, value in answer.items()}


def numbers(configuration: str, endpoint: str) -> Any:
    return _types(configuration, endpoint, NUMBERS)


def packed(configuration: str, endpoint: str) -> Any:
    return _types(configuration, endpoint, PACKED)


def http_numbers(configuration: str, endpoint: str, mode: str) -> Any:
    """Each output's elements as they are on the wire, bytes in base64."""
    client = http_client(configuration, endpoint, mode)
    answer = client.predict(feed=dict(NUMBERS), fetch=[f"{name}_1" for name in NUMBERS], batch=True)
    if not isinstance(answer, dict):
        from google.protobuf import json_format

        # int64 becomes text in protobuf's own JSON.
        answer = json_format.MessageToDict(answer, preserving_proto_field_name=True)
    fields = ("float_data", "int64_data", "int_data", "tensor_content")
    return {
        tensor["alias_name"]: tensor[next(field for field in fields if field in tensor)]
        for tensor in answer["outputs"][0]["tensor"]
    }


if __name__ == "__main__":
    main(globals())
