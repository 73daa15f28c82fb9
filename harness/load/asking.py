"""How a client asks Serving for a prediction, and how the answer is read.

Serving's own package has three clients. ``brpc`` is the compiled one
(``paddle_serving_client.Client``), ``http`` is ``HttpClient`` with a JSON body, and ``grpc`` is
``HttpClient`` over gRPC.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

KINDS = ("brpc", "http", "grpc")
# Sends one request. Returns the values of the fetched variable, flattened, or raises.
Ask = Callable[[], list[float]]


class _NoAnswer(Exception):
    """The client library returned no prediction; the client's log may say why."""


def asker(
    kind: str, endpoint: str, *, client_config: Path, feed: Path, fetch: str, timeout_s: float
) -> Ask:
    """Return a function that asks the server for one prediction, over its own connection.

    Args:
        kind: One of ``KINDS``.
        endpoint: The server's HOST:PORT.
        client_config: The client's prototxt, or its folder.
        feed: A JSON file: name to values, one row.
        fetch: The alias of the fetched variable.
        timeout_s: The seconds after which a request has failed.
    """
    import numpy

    named: dict[str, Any] = json.loads(feed.read_text())
    rows = {name: numpy.array(values, dtype="float32") for name, values in named.items()}
    timeout_ms = int(timeout_s * 1000)

    if kind == "brpc":
        from .patched_client import client_class

        client = client_class()()
        client.load_client_config(str(client_config))
        client.set_rpc_timeout_ms(timeout_ms)
        client.connect([endpoint])
    else:
        from paddle_serving_client import HttpClient

        client = HttpClient()
        client.load_client_config(str(client_config))
        client.set_timeout_ms(timeout_ms)
        client.set_http_proto(False)
        client.set_use_grpc_client(kind == "grpc")
        client.connect([endpoint])

    def ask() -> list[float]:
        # A new dictionary each time: the client changes the one it is given.
        answer = client.predict(feed=dict(rows), fetch=[fetch], batch=True)
        if not answer:
            raise _NoAnswer(f"the client gave {answer!r}; what it printed is in its log")
        return _fetched(answer, fetch)

    return ask


def _fetched(answer: Any, fetch: str) -> list[float]:
    if isinstance(answer, dict) and fetch in answer:
        return [float(value) for value in answer[fetch].ravel()]
    if isinstance(answer, dict):
        if answer.get("err_no"):
            raise _NoAnswer(f"err_no {answer['err_no']}: {answer.get('err_msg')}")
        for tensor in answer["outputs"][0]["tensor"]:
            if tensor["alias_name"] == fetch:
                return [float(value) for value in tensor["float_data"]]
    else:
        if answer.err_no:
            raise _NoAnswer(f"err_no {answer.err_no}: {answer.err_msg}")
        for tensor in answer.outputs[0].tensor:
            if tensor.alias_name == fetch:
                return [float(value) for value in tensor.float_data]
    raise _NoAnswer(f"no {fetch} in the answer {answer!r}")
