"""A request on its way in over one HTTP/2 stream, until it is whole (RFC 9113, 8.1). No I/O.

HEADERS ──▶ what they announce ──▶ DATA joins the body ──▶ as announced? ──▶ H2Request
"""

from __future__ import annotations

from typing import NamedTuple, Optional

_MOST_DIGITS = 18
# A flag and four bytes of length stand before a gRPC message.
_GRPC_PREFIX = 5


class Malformed(ValueError):
    """The headers do not say what a request has to say."""


class H2Request(NamedTuple):
    """One whole request."""

    stream: int
    method: str
    path: str
    content_type: str
    gzip_body: bool
    takes_gzip: bool
    grpc_encoding: str
    takes_grpc_gzip: bool
    body: bytes

    @property
    def is_grpc(self) -> bool:
        return self.content_type.startswith("application/grpc")


class Incoming:
    """A request that is not whole. ``room`` is what the peer may still send of it.

    ``length`` is what content-length says, in bytes. Raises ``Malformed``.
    """

    __slots__ = ("body", "headers", "length", "room")

    def __init__(self, headers: dict[bytes, bytes], room: int) -> None:
        if b":method" not in headers or b":path" not in headers:
            raise Malformed("no method or no path")
        self.headers = headers
        self.length: Optional[int] = None
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit():
                raise Malformed("content-length is no number")
            # No body is of so many bytes, however many more digits there are.
            self.length = int(length) if len(length) <= _MOST_DIGITS else 10**_MOST_DIGITS
        self.body = bytearray()
        self.room = room

    def announced(self) -> int:
        """Bytes of the body that are to come in all, as far as anything said so yet."""
        if self.length is not None:
            return self.length
        if len(self.body) < _GRPC_PREFIX or not self.headers.get(b"content-type", b"").startswith(
            b"application/grpc"
        ):
            return 0
        return _GRPC_PREFIX + int.from_bytes(self.body[1:_GRPC_PREFIX], "big")

    def as_announced(self) -> bool:
        """Whether the body, now that it has ended, has its content-length (RFC 9113, 8.1.1)."""
        return self.length is None or self.length == len(self.body)

    def whole(self, number: int) -> H2Request:
        """The request of the stream with that number, which has ended."""
        headers = self.headers
        return H2Request(
            number,
            _text(headers, b":method"),
            _text(headers, b":path").partition("?")[0],
            _text(headers, b"content-type"),
            _text(headers, b"content-encoding") == "gzip",
            "gzip" in _text(headers, b"accept-encoding"),
            _text(headers, b"grpc-encoding"),
            "gzip" in _text(headers, b"grpc-accept-encoding"),
            bytes(self.body),
        )


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
