"""Asks a server with one of Paddle Serving's clients and prints what it said, as JSON.

python harness/conformance/serving/asking.py CLIENT_CONF HOST:PORT QUESTION [MODE]

QUESTION is the name of a function below, with blanks for underscores. MODE is for HttpClient: JSON
or protobuf, each also with " with gzip" behind it, or gRPC.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

ROW = np.ones(13, "float32")


def _compiled(configuration: str, endpoint: str) -> Any:
    from harness.load.patched_client import client_class

    client = client_class()()
    client.load_client_config(configuration)
    client.connect([endpoint])
    return client


def compiled(configuration: str, endpoint: str) -> Any:
    client = _compiled(configuration, endpoint)
    answers: dict[str, Any] = {
        "row": client.predict(feed={"x": ROW}, fetch=["price"], batch=False)["price"].tolist(),
        "batch": client.predict(feed={"x": np.stack([ROW] * 3)}, fetch=["price"], batch=True)[
            "price"
        ].tolist(),
    }
    try:
        client.predict(feed={"y": ROW}, fetch=["price"], batch=False)
    except ValueError as error:
        answers["wrong name"] = f"ValueError: {error}"
    return answers


def wrong_shape(configuration: str, endpoint: str) -> Any:
    client = _compiled(configuration, endpoint)
    return client.predict(feed={"x": np.ones((1, 12), "float32")}, fetch=["price"], batch=True)


def outage(configuration: str, endpoint: str) -> Any:
    """Predicts once; again at each line of standard input, the last time until it succeeds.

    Prints ``up`` when the first prediction is there, ``down`` behind the second.
    """
    client = _compiled(configuration, endpoint)

    def price() -> Any:
        answer = client.predict(feed={"x": ROW}, fetch=["price"], batch=False)
        return None if answer is None else answer["price"].tolist()

    first = price()
    print("\nup", flush=True)
    sys.stdin.readline()
    during = price()
    print("\ndown", flush=True)
    sys.stdin.readline()
    start = time.monotonic()
    after = price()
    while after is None and time.monotonic() < start + 30:
        time.sleep(0.1)
        after = price()
    return {
        "first": first,
        "during": during,
        "after": after,
        "recovered in s": time.monotonic() - start,
    }


def two(configuration: str, endpoint: str) -> Any:
    """The model with two inputs of different types and two outputs."""
    client = _compiled(configuration, endpoint)
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
    client = _compiled(configuration, endpoint)
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
# The compiled client takes the bytes of an answer for UTF-8: only what is that comes back to it.
PACKED = {
    "float16": np.array([[0.5, 1, 2], [3, 4, 5]], "float16"),
    "uint8": np.array([[0, 1, 2], [3, 4, 126]], "uint8"),
    "int8": np.array([[0, 1, 2], [3, 4, -1]], "int8"),
}


def _types(configuration: str, endpoint: str, feed: dict[str, Any]) -> Any:
    client = _compiled(configuration, endpoint)
    fetch = [f"{name}_1" for name in feed]
    answer = client.predict(feed=dict(feed), fetch=fetch, batch=True)
    return {name: [value.dtype.name, value.tolist()] for name, value in answer.items()}


def numbers(configuration: str, endpoint: str) -> Any:
    return _types(configuration, endpoint, NUMBERS)


def packed(configuration: str, endpoint: str) -> Any:
    return _types(configuration, endpoint, PACKED)


def http_numbers(configuration: str, endpoint: str, mode: str) -> Any:
    """Each output's elements as they are on the wire, bytes in base64."""
    client = _http_client(configuration, endpoint, mode)
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


def http(configuration: str, endpoint: str, mode: str) -> Any:
    client = _http_client(configuration, endpoint, mode)
    rows = 200 if "gzip" in mode else 1
    answer = client.predict(feed={"x": np.stack([ROW] * rows)}, fetch=["price"], batch=True)
    if answer is None:
        return None
    if isinstance(answer, dict):
        return answer["outputs"][0]["tensor"][0]["float_data"]
    return list(answer.outputs[0].tensor[0].float_data)


def _http_client(configuration: str, endpoint: str, mode: str) -> Any:
    from paddle_serving_client import HttpClient

    client = HttpClient()
    client.load_client_config(configuration)
    client.set_http_proto(not mode.startswith("JSON"))
    client.set_use_grpc_client(mode == "gRPC")
    if "gzip" in mode:
        client.set_request_compress(True)
        client.set_response_compress(True)
    client.connect([endpoint])
    return client


if __name__ == "__main__":
    _configuration, _endpoint, _kind, *_rest = sys.argv[1:]
    _function = globals()[_kind.replace(" ", "_")]
    print()
    print(json.dumps(_function(_configuration, _endpoint, *_rest)), flush=True)
