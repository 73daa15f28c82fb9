"""HTTP/1.x: requests in, answers out. httptools (llhttp) reads the bytes. No I/O."""

from __future__ import annotations

from typing import Any

import httptools

from ._http import BrokenRequest, Headers, HttpRequest, TooBig

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
}


class RequestReader:
    """The requests of one connection.

    Args:
        limit: The most bytes of a body.

    Attributes:
        idle: No request has begun.
        requests: Those that are whole; the caller empties the list.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self.idle = True
        self.requests: list[HttpRequest] = []

    def feed(self, data: bytes) -> None:
        """Take what came in.

        Raises:
            TooBig: A body is over the limit.
            BrokenRequest: The bytes are no HTTP. The reader must not be used afterwards.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # httptools gives the request without its body.
            self.requests.pop()
            raise BrokenRequest("a change of the protocol is not served") from None
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            raise BrokenRequest(str(error)) from None

    # httptools calls these.

    def on_message_begin(self) -> None:
        self.idle = False
        self._url = b""
        self._headers = {}
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value.strip()

    def on_headers_complete(self) -> None:
        if int(self._headers.get(b"content-length", b"0")) > self._limit:
            raise TooBig("the announced body is too big")

    def on_body(self, part: bytes) -> None:
        self._body += part
        if len(self._body) > self._limit:
            raise TooBig("the body is too big")

    def on_message_complete(self) -> None:
        self.idle = True
        self.requests.append(
            HttpRequest(
                self._parser.get_method().decode("ascii"),
                self._url.partition(b"?")[0].decode("latin-1"),
                self._headers,
                bytes(self._body),
                keep_alive=self._parser.should_keep_alive(),
            )
        )


def answer(
    status: int, headers: Headers, body: bytes, *, close: bool = False, head_only: bool = False
) -> bytes:
    """Return an answer, with Content-Length as the first header, as the real server has it."""
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if close:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if head_only else head + body
