"""HTTP/1.x requests in, answers out, no I/O.

The head is read by httptools (llhttp, strict about what is no HTTP), and what it says is kept
for the next request with the same bytes: clients repeat themselves. The body is framed here,
because on this port another protocol may follow right behind it.
"""

from __future__ import annotations

import contextlib
import functools
from typing import NamedTuple, Optional, Union

import httptools

HEAD_LIMIT = 64 * 1024
_METHOD_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class BrokenRequest(Exception):
    """Bytes that are no HTTP: the connection has to be closed."""


class TooBig(BrokenRequest):
    """A body over ``max_body_size``."""


class Head(NamedTuple):
    """What the engine wants to know of a request's head."""

    method: str
    path: str
    content_type: str
    gzip_body: bool
    takes_gzip: bool
    chunked: bool
    length: int
    # The client asked for the end of the connection (it gets an echo), or it is implied.
    says_close: bool
    keep_alive: bool


class HttpRequest(NamedTuple):
    """One whole request."""

    head: Head
    body: bytes


class _Collector:
    """httptools' callbacks for one head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        # Repeated headers are one list (RFC 9110, 5.3).
        self.headers[key] = self.headers[key] + b"," + value if key in self.headers else value


def looks_like_http(data: Union[bytes, bytearray], at: int) -> bool:
    """Whether bytes can be the start of a request line: a method, or the start of one."""
    word = data[at : at + 16].partition(b" ")[0]
    return bool(word) and len(word) < 16 and _METHOD_CHARACTERS.issuperset(word)


@functools.lru_cache(maxsize=512)
def _known(head: bytes) -> Head:
    return _read(head)


def read_head(head: bytes) -> Head:
    """Reads a head, its empty line included. Raises ``BrokenRequest``."""
    return _known(head) if len(head) <= 2048 else _read(head)


def _read(head: bytes) -> Head:
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        # An offer to change the protocol may be left alone (RFC 9110, 7.8); curl --http2 makes one.
        with contextlib.suppress(httptools.HttpParserUpgrade):
            parser.feed_data(head)
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        url = httptools.parse_url(collector.url)
        keep_alive = parser.should_keep_alive()
    except (httptools.HttpParserError, UnicodeDecodeError) as error:
        raise BrokenRequest(str(error)) from None
    if method == "CONNECT":
        raise BrokenRequest("nothing is connected through this server")
    if version not in ("1.0", "1.1"):
        raise BrokenRequest(f"HTTP/{version}")
    headers = collector.headers
    length_text = headers.get(b"content-length", b"0")
    if not length_text.isdigit() or len(length_text) > 18:
        raise BrokenRequest("Content-Length is no number")
    codings = headers.get(b"transfer-encoding", b"").lower()
    if codings not in (b"", b"chunked", b"identity"):
        raise BrokenRequest(f"Transfer-Encoding {codings.decode('latin-1')}")
    return Head(
        method=method,
        path=(url.path or b"/").decode("latin-1"),
        content_type=headers.get(b"content-type", b"").decode("latin-1").strip(),
        gzip_body=headers.get(b"content-encoding", b"").strip().lower() == b"gzip",
        takes_gzip=b"gzip" in headers.get(b"accept-encoding", b"").lower(),
        chunked=codings == b"chunked",
        length=int(length_text),
        says_close=b"close" in headers.get(b"connection", b"").lower(),
        keep_alive=keep_alive,
    )


class ChunkReader:
    """The body of one chunked request (RFC 9112, 7.1), as a machine of four states.

    state   on                 to       what is done
    SIZE    a size line        DATA     0 leads to TRAILER
    DATA    that many bytes    END      they join the body
    END     an empty line      SIZE
    TRAILER an empty line      DONE     other lines are dropped
    """

    _LINE_LIMIT = 4096
    _TRAILER_LIMIT = 64

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._state = "SIZE"
        self._left = 0
        self._trailers = 0
        self.body = bytearray()

    @property
    def done(self) -> bool:
        return self._state == "DONE"

    def receive(self, data: bytearray, at: int) -> int:
        """Reads on from ``at``; gives the place up to which it has read."""
        while not self.done:
            if self._state == "DATA":
                part = data[at : at + self._left]
                if not part:
                    return at
                self.body += part
                at += len(part)
                self._left -= len(part)
                if self._left:
                    return at
                self._state = "END"
                continue
            end = data.find(b"\n", at, at + self._LINE_LIMIT)
            if end < 0:
                if len(data) - at >= self._LINE_LIMIT:
                    raise BrokenRequest("a line of a chunked body is too long")
                return at
            line = bytes(data[at:end]).rstrip(b"\r")
            at = end + 1
            self._line(line)
        return at

    def _line(self, line: bytes) -> None:
        if self._state == "SIZE":
            digits = line.partition(b";")[0].strip()
            if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
                raise BrokenRequest("the size of a chunk is no number")
            self._left = int(digits, 16)
            if len(self.body) + self._left > self._limit:
                raise TooBig(f"{len(self.body) + self._left} bytes")
            self._state = "DATA" if self._left else "TRAILER"
        elif self._state == "END":
            if line:
                raise BrokenRequest("a chunk is longer than its size")
            self._state = "SIZE"
        elif not line:
            self._state = "DONE"
        else:
            self._trailers += 1
            if self._trailers > self._TRAILER_LIMIT:
                raise BrokenRequest("too many trailers")


def answer(
    status: int,
    body: bytes,
    content_type: str,
    *,
    error_code: Optional[int] = None,
    gzip: bool = False,
    close: bool = False,
    head_only: bool = False,
) -> bytes:
    """An answer with the real server's headers, in its order and no others."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(body)}\r\n"]
    if content_type:
        lines.append(f"Content-Type: {content_type}\r\n")
    if gzip:
        lines.append("Content-Encoding: gzip\r\n")
    if error_code is not None:
        lines.append(f"x-bd-error-code: {error_code}\r\n")
    if close:
        lines.append("Connection: close\r\n")
    lines.append("\r\n")
    head = "".join(lines).encode("latin-1")
    return head if head_only else head + body
