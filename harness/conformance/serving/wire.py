"""Bytes on a socket, as little wrapped as possible: what the checks look at is what was sent."""

from __future__ import annotations

import select
import socket
from typing import Any, NamedTuple, Optional

import h2.config
import h2.connection
import h2.events

from . import baidu_std, messages

TIMEOUT_S = 20.0


class HttpAnswer(NamedTuple):
    """One HTTP/1 answer: headers in the order in which they came."""

    status_line: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.status_line.split()[1])

    def header(self, name: str) -> Optional[str]:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Wire:
    """One TCP connection to the server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self._rest = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._rest += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            if not self._more():
                raise EOFError(f"closed after {self._rest[:80]!r}")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def closed(self) -> bool:
        """Whether the server closes the connection without another byte."""
        return not self._rest and not self._more()

    def silent(self) -> bool:
        """Whether the connection is open and nothing has come."""
        ready, _, _ = select.select([self.socket], [], [], 0)
        return not self._rest and not ready

    def http_answer(self, head_only: bool = False) -> HttpAnswer:
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                raise EOFError(f"closed after {self._rest[:80]!r}")
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)]
        answer = HttpAnswer(status_line, headers, b"")
        length = int(answer.header("content-length") or 0)
        return answer._replace(body=b"" if head_only else self._take(length))

    def baidu_answer(self) -> baidu_std.Answer:
        head = self._take(12)
        _, size, _ = baidu_std.HEADER.unpack(head)
        return baidu_std.read_answer(head + self._take(size))


def http(
    port: int,
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str = "/GeneralModelService/inference",
    headers: Optional[dict[str, str]] = None,
    version: str = "1.1",
    raw: Optional[bytes] = None,
) -> HttpAnswer:
    """One request on a connection of its own. ``raw`` replaces body and Content-Length."""
    lines = [f"{method} {path} HTTP/{version}", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if raw is None and (body or method == "POST"):
        lines.append(f"Content-Length: {len(body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    with Wire(port) as wire:
        wire.send(head + (body if raw is None else raw))
        return wire.http_answer(head_only=method == "HEAD")


def baidu(port: int, frame: bytes) -> baidu_std.Answer:
    """One frame on a connection of its own."""
    with Wire(port) as wire:
        wire.send(frame)
        return wire.baidu_answer()


def request_message(rows: int = 1, **fields: Any) -> Any:
    """A ``Request`` for the uci model: ``rows`` rows of 13 ones."""
    message = messages.new_request()
    tensor = message.tensor.add()
    tensor.float_data.extend([1.0] * 13 * rows)
    tensor.elem_type = 1
    tensor.shape.extend([rows, 13])
    tensor.name = tensor.alias_name = "x"
    message.fetch_var_names.append("price")
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def response_message(data: bytes) -> Any:
    """A ``Response`` out of its bytes."""
    return messages.read_response(data)


class Http2Answer(NamedTuple):
    """An answer over HTTP/2."""

    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]


def http2(port: int, headers: list[tuple[str, str]], body: bytes) -> Http2Answer:
    """One request over HTTP/2 with prior knowledge."""
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    )
    with Wire(port) as wire:
        connection.initiate_connection()
        connection.send_headers(1, headers, end_stream=not body)
        if body:
            connection.send_data(1, body, end_stream=True)
        wire.send(connection.data_to_send())
        found: list[dict[str, str]] = []
        received = bytearray()
        while True:
            data = wire.socket.recv(65536)
            if not data:
                raise EOFError("the server closed the HTTP/2 connection")
            for event in connection.receive_data(data):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    found.append({str(name): str(value) for name, value in event.headers})
                elif isinstance(event, h2.events.DataReceived):
                    received += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    trailers = found[1] if len(found) > 1 else {}
                    return Http2Answer(found[0], bytes(received), trailers)
                elif isinstance(event, h2.events.StreamReset):
                    raise EOFError(f"the server reset the stream: {event.error_code}")
            wire.send(connection.data_to_send())
