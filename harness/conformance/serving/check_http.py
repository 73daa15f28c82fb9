"""HTTP/1.1 on the port."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
from collections.abc import Iterator
from http import client
from typing import Any

from . import wire
from .checks import JSON_BODY, PRICE, Differs, Subject, holds, same
from .server import Server
from .wire import HttpAnswer, Wire, http

JSON = {"Content-Type": "application/json"}
REQUEST = "baidu.paddle_serving.predictor.general_model.Request"
TENSOR = "baidu.paddle_serving.predictor.general_model.Tensor"


def price(answer: HttpAnswer) -> Any:
    """Return the prediction in a JSON answer. Raise ``Differs`` if there is none."""
    holds(answer.status == 200, f"{answer.status_line} {answer.body[:300]!r}")
    return json.loads(answer.body)["outputs"][0]["tensor"][0]["float_data"][0]


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Turn what a server's missing or unreadable answer raises into ``Differs``."""
    try:
        yield
    except (
        *(ConnectionError, socket.timeout, EOFError, client.HTTPException),
        *(ValueError, LookupError, TypeError),
    ) as error:
        raise Differs(f"{type(error).__name__}: {error}") from None


def predicted(server: Server) -> Any:
    """Return the uci model's prediction now. Raise ``Differs`` if the server gives none."""
    with answered():
        return price(http(server.port, JSON_BODY, headers=JSON))


def _request(*headers: bytes) -> tuple[bytes, bytes]:
    """Head and body of a request for the price."""
    length = b"Content-Length: %d" % len(JSON_BODY)
    lines = [b"POST /GeneralModelService/inference HTTP/1.1", b"Host: x"]
    lines += [b"Content-Type: application/json", length, *headers]
    return b"\r\n".join([*lines, b"", b""]), JSON_BODY


def _body(**fields: Any) -> bytes:
    """Return a request for the price with other fields in its tensor."""
    body = json.loads(JSON_BODY)
    body["tensor"][0].update(fields)
    return json.dumps(body).encode()


_REASONS = {400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


def _refused(
    subject: Subject, body: bytes, status: int, code: int, text: str, **options: Any
) -> None:
    """Raises ``Differs`` unless the request gets this error, headers included."""
    answer = http(subject.port, body, headers=JSON, **options)
    same(answer.status_line, f"HTTP/1.1 {status} {_REASONS[status]}")
    same(answer.header("x-bd-error-code"), str(code), "x-bd-error-code")
    same(answer.header("content-type"), "text/plain", "Content-Type")
    names = [name for name, _ in answer.headers if name != "Content-Length"]
    same(names, ["Content-Type", "x-bd-error-code"], "headers")
    same(answer.body.decode(), f"[127.0.0.1:{subject.port}][E{code}]{text}")


def answer_headers(subject: Subject) -> None:
    """An answer has Content-Length and Content-Type, in this order and no others."""
    answer = http(subject.port, JSON_BODY, headers=JSON)
    same(answer.status_line, "HTTP/1.1 200 OK")
    same([name for name, _ in answer.headers], ["Content-Length", "Content-Type"])
    same(answer.header("content-type"), "application/json")


def json_answer(subject: Subject) -> None:
    """The JSON answer: fields by number, defaults left out, floats as doubles."""
    text = http(subject.port, JSON_BODY, headers=JSON).body.decode()
    pattern = (
        r'\{"outputs":\[\{"tensor":\[\{"float_data":\[92\.0\],"elem_type":1,"shape":\[1,1\],'
        r'"name":"[^"]+","alias_name":"price"\}\],"engine_name":"GeneralInferOp_0"\}\],'
        r'"profile_time":\[(\d+),(\d+)\]\}'
    )
    match = re.fullmatch(pattern, text)
    holds(match and int(match[1]) <= int(match[2]), text)


def profile_server(subject: Subject) -> None:
    """The field profile_server puts six times before the two of profile_time."""
    body = json.dumps({**json.loads(JSON_BODY), "profile_server": True}).encode()
    times = json.loads(http(subject.port, body, headers=JSON).body)["profile_time"]
    same(len(times), 8, "times")


def json_type(subject: Subject, name: str) -> None:
    """Content-Type {name} counts as JSON and is echoed."""
    answer = http(subject.port, JSON_BODY, headers={"Content-Type": name})
    same(price(answer), PRICE)
    same(answer.header("content-type"), name)


def no_content_type(subject: Subject) -> None:
    """No Content-Type counts as JSON."""
    same(price(http(subject.port, JSON_BODY)), PRICE)


def octet_stream(subject: Subject) -> None:
    """The type application/octet-stream is a 400, with JSON in it or protobuf."""
    for body in (JSON_BODY, wire.request_message().SerializeToString()):
        answer = http(subject.port, body, headers={"Content-Type": "application/octet-stream"})
        same(answer.status, 400)


def protobuf_type(subject: Subject, name: str) -> None:
    """The type {name} is protobuf both ways."""
    body = wire.request_message().SerializeToString()
    answer = http(subject.port, body, headers={"Content-Type": name})
    same(answer.header("content-type"), name)
    same(wire.response_message(answer.body).outputs[0].tensor[0].float_data[0], PRICE)


def method(subject: Subject, name: str) -> None:
    """The method {name}, with a body, works."""
    same(price(http(subject.port, JSON_BODY, headers=JSON, method=name)), PRICE)


def path(subject: Subject, name: str) -> None:
    """The path {name} works."""
    same(price(http(subject.port, JSON_BODY, headers=JSON, path=name)), PRICE)


def http_1_0(subject: Subject) -> None:
    """HTTP/1.0 works."""
    same(price(http(subject.port, JSON_BODY, headers=JSON, version="1.0")), PRICE)


def chunked(subject: Subject) -> None:
    """A chunked request works."""
    parts = (JSON_BODY[:10], JSON_BODY[10:], b"")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    headers = {**JSON, "Transfer-Encoding": "chunked"}
    same(price(http(subject.port, headers=headers, raw=chunks)), PRICE)


def expect_continue(subject: Subject) -> None:
    """Expect: 100-continue works, and no 100 is ever sent."""
    head, body = _request(b"Expect: 100-continue")
    with Wire(subject.port) as one:
        one.send(head)
        # Another client is answered meanwhile, so the head has been looked at.
        same(predicted(subject.server), PRICE)
        holds(one.silent(), "it answered before the body was there")
        one.send(body)
        answer = one.http_answer()
    same(answer.status_line, "HTTP/1.1 200 OK")
    same(price(answer), PRICE)


def connection_close(subject: Subject) -> bool:
    """Connection: close is echoed, and the connection stays open."""
    with Wire(subject.port) as one:
        one.send(b"".join(_request(b"Connection: close")))
        answer = one.http_answer()
        same(price(answer), PRICE)
        same((answer.header("connection") or "").lower(), "close")
        with contextlib.suppress(OSError):
            one.send(b"".join(_request()))
        if one.closed():
            return True
        same(price(one.http_answer()), PRICE, "behind it")
        return False


def keep_alive(subject: Subject) -> None:
    """A connection serves one request after another."""
    with Wire(subject.port) as one:
        for _ in range(3):
            one.send(b"".join(_request()))
            same(price(one.http_answer()), PRICE)


def gzip_request(subject: Subject) -> None:
    """A gzip request works."""
    headers = {**JSON, "Content-Encoding": "gzip"}
    same(price(http(subject.port, gzip.compress(JSON_BODY), headers=headers)), PRICE)


def gzip_answer(subject: Subject) -> None:
    """Answers are gzipped when that is accepted, at 517 bytes and not at 466."""
    sizes: dict[str, list[int]] = {"gzip": [], "": []}
    for rows in range(40, 70):
        body = _body(float_data=[1] * 13 * rows, shape=[rows, 13])
        answer = http(subject.port, body, headers={**JSON, "Accept-Encoding": "gzip"})
        coding = answer.header("content-encoding") or ""
        whole = gzip.decompress(answer.body) if coding else answer.body
        same(price(answer._replace(body=whole)), PRICE)
        sizes[coding].append(len(whole))
    holds(sizes["gzip"] and min(sizes["gzip"]) > 466, f"gzipped: {sizes['gzip']}")
    holds(sizes[""] and max(sizes[""]) < 517, f"not gzipped: {sizes['']}")


_NO_REQUEST = f"Fail to parse http body as {REQUEST}, "


def malformed_json(subject: Subject) -> None:
    """Malformed JSON: 400, E1003, `Invalid json format`."""
    _refused(subject, b"{nonsense", 400, 1003, f"{_NO_REQUEST}Invalid json format")


def no_list(subject: Subject) -> None:
    """The field float_data that is no list: 400, E1003, `Invalid value for repeated field`."""
    text = f"{_NO_REQUEST}Invalid value for repeated field: {TENSOR}.float_data"
    _refused(subject, _body(float_data=1.0), 400, 1003, text)


def double_in_shape(subject: Subject) -> None:
    """A double in shape: 400, E1003, `which SHOULD be INT32`."""
    text = f"Invalid value `1.000000' for field `{TENSOR}.shape' which SHOULD be INT32"
    _refused(subject, _body(shape=[1.0, 13]), 400, 1003, _NO_REQUEST + text)


def no_feed(subject: Subject, what: str, body: bytes, method: str = "POST") -> None:
    """A request with {what}: 500, E-5100, `InferService inference failed!`."""
    _refused(subject, body, 500, -5100, "InferService inference failed!", method=method)


def unknown_method(subject: Subject) -> None:
    """An unknown method: 404, E1002, the path in the text."""
    path = "/GeneralModelService/nope"
    _refused(subject, JSON_BODY, 404, 1002, f"Fail to find method on `{path}'", path=path)


def no_method(subject: Subject) -> None:
    """The service without a method: 404, the methods are named."""
    answer = http(subject.port, JSON_BODY, path="/GeneralModelService", headers=JSON)
    same(answer.status, 404)
    wanted = "Missing method name for service=GeneralModelService. Available methods are: "
    holds(wanted in answer.body.decode(), answer.body.decode())


def page(subject: Subject, name: str) -> None:
    """The builtin page {name} is there."""
    answer = http(subject.port, method="GET", path=name)
    same(answer.status, 200)
    holds(answer.body, "it is empty")
    if name == "/health":
        same(answer.body.strip(), b"OK")


def no_page(subject: Subject, name: str) -> None:
    """There is no page {name}."""
    same(http(subject.port, method="GET", path=name).status, 404)


# For the model with two outputs: 1 + 1 + 1 to each of the integers, and their sum.
TWO = {
    "tensor": [
        {"name": "left", "elem_type": 1, "float_data": [1, 1, 1], "shape": [1, 3]},
        {"name": "right", "elem_type": 0, "int64_data": [1, 2], "shape": [1, 2]},
    ]
}
MIXED, TOTAL = [4.0, 5.0], [3]


def unknown_fetch(subject: Subject) -> None:
    """An unknown fetch name gives the first fetch."""
    same(_fetched(subject, ["nonsense"]), [MIXED])


def no_fetch(subject: Subject) -> None:
    """No fetch names give every fetch."""
    same(_fetched(subject, []), [MIXED, TOTAL])


def _fetched(subject: Subject, names: list[str]) -> list[Any]:
    """Return the values of the outputs that the model with two outputs gives for these names."""
    with subject.launch("two") as server:
        body = json.dumps({**TWO, "fetch_var_names": names}).encode()
        answer = http(server.port, body, headers=JSON)
    same(answer.status_line, "HTTP/1.1 200 OK")
    tensors = json.loads(answer.body)["outputs"][0]["tensor"]
    return [one.get("float_data") or one.get("int64_data") for one in tensors]
