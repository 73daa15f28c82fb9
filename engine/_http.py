"""One HTTP request, whichever version of HTTP brought it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[str, str]]


class BrokenRequest(Exception):
    """Bytes that are no HTTP: the connection has to be closed."""


class TooBig(BrokenRequest):
    """A body over ``max_body_size``."""


class HttpRequest(NamedTuple):
    """One whole request.

    Attributes:
        method: The method, in capitals.
        path: The path, without the query string.
        headers: The headers, with names in small letters.
        body: The body as it came; its encodings are not undone.
        stream: The HTTP/2 stream; 0 with HTTP/1.
        keep_alive: Whether the connection takes another request afterwards.
    """

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    stream: int = 0
    keep_alive: bool = True

    def header(self, name: bytes) -> str:
        """Return a header's value, empty when there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def content_type(self) -> str:
        return self.header(b"content-type")

    @property
    def is_grpc(self) -> bool:
        return self.stream > 0 and self.content_type.startswith("application/grpc")

    @property
    def is_protobuf(self) -> bool:
        """Whether the body is protobuf; every other Content-Type counts as JSON."""
        return self.content_type.startswith(("application/proto", "application/x-protobuf"))

    @property
    def takes_gzip(self) -> bool:
        return b"gzip" in self.headers.get(b"accept-encoding", b"").lower()
