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
# The exit code if the client cannot be loaded here, whatever the server does.
NO_CLIENT = 3


def connected(configuration: str, endpoint: str) -> Any:
    """Return the compiled client, connected to the server."""
    from harness.load.patched_client import client_class

    client = client_class()()
    client.load_client_config(configuration)
    client.connect([endpoint])
    return client


def compiled(configuration: str, endpoint: str) -> Any:
    """Ask for one row, for a batch and with a wrong name. Return the answers."""
    client = connected(configuration, endpoint)
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
    """Ask with a row that is one value too short. Return the answer."""
    client = connected(configuration, endpoint)
    return client.predict(feed={"x": np.ones((1, 12), "float32")}, fetch=["price"], batch=True)


def outage(configuration: str, endpoint: str) -> Any:
    """Predicts once; again at each line of standard input, the last time until it succeeds.

    Prints ``up`` when the first prediction is there, ``down`` behind the second.
    """
    client = connected(configuration, endpoint)

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


def http(configuration: str, endpoint: str, mode: str) -> Any:
    """Ask with ``HttpClient``. Return the prices; None without an answer."""
    client = http_client(configuration, endpoint, mode)
    rows = 200 if "gzip" in mode else 1
    answer = client.predict(feed={"x": np.stack([ROW] * rows)}, fetch=["price"], batch=True)
    if answer is None:
        return None
    if isinstance(answer, dict):
        return answer["outputs"][0]["tensor"][0]["float_data"]
    return list(answer.outputs[0].tensor[0].float_data)


def http_client(configuration: str, endpoint: str, mode: str) -> Any:
    """Return an ``HttpClient`` for a mode such as ``JSON`` or ``gRPC gzip``."""
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


def main(questions: dict[str, Any]) -> None:
    """Answer the question of the command line, one of ``questions``."""
    from harness.support.errors import HarnessError

    configuration, endpoint, kind, *rest = sys.argv[1:]
    try:
        answer = questions[kind.replace(" ", "_")](configuration, endpoint, *rest)
    except (ImportError, HarnessError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(NO_CLIENT)
    print()
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(globals())
