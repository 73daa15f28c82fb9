"""gRPC on top of HTTP/2: the message frame, the status, the text of an error. Pure.

Source: gRPC's "PROTOCOL-HTTP2".
"""

from __future__ import annotations

import string
import urllib.parse

from . import _compression

# grpc/status.h
OK = 0
INVALID_ARGUMENT = 3
UNIMPLEMENTED = 12
INTERNAL = 13

# Characters of an error. Each may become 12 bytes, and clients accept 8 kB of headers in all.
_LONGEST_MESSAGE = 500
_PLAIN = string.punctuation.replace("%", "") + " "


def unwrap(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the message in a body: a flag, four bytes of length, the message.

    Raises:
        BadCompression: The body is no gRPC message, or becomes larger than ``limit`` bytes.
    """
    if len(body) < 5 or int.from_bytes(body[1:5], "big") != len(body) - 5 or body[0] > 1:
        raise _compression.BadCompression("the body is not one gRPC message")
    return _compression.unpack(encoding, body[5:], limit) if body[0] else body[5:]


def wrap(message: bytes, *, compressed: bool = False) -> bytes:
    """Return a body with one message."""
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


def status_message(text: str) -> str:
    """Return a text as ``grpc-message`` carries it."""
    return urllib.parse.quote(text[:_LONGEST_MESSAGE], safe=_PLAIN)
