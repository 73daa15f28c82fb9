"""What gRPC puts on top of HTTP/2: the message frame, the status, the text of an error. Pure.

Source: gRPC's "PROTOCOL-HTTP2".
"""

from __future__ import annotations

import zlib

# grpc/status.h
OK = 0
INVALID_ARGUMENT = 3
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13

_WINDOWS = {"gzip": 31, "deflate": 15}


class BadMessage(ValueError):
    """The body is no gRPC message; the text says why."""


def unwrap(body: bytes, encoding: str, limit: int) -> bytes:
    """The message in a body: a flag, four bytes of length, the message.

    Raises ``BadMessage``. Message encodings are gzip, deflate (zlib's format) and identity.
    """
    if len(body) < 5 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise BadMessage("the body is not one gRPC message")
    message = body[5:]
    if body[0] == 0:
        return message
    window = _WINDOWS.get(encoding)
    if body[0] != 1 or window is None:
        raise BadMessage(f"the message is compressed with {encoding or 'nothing named'}")
    unpacker = zlib.decompressobj(window)
    try:
        whole = unpacker.decompress(message, limit + 1)
    except zlib.error as error:
        raise BadMessage(str(error)) from None
    if not unpacker.eof or len(whole) > limit:
        raise BadMessage("the compressed message is cut off or too large")
    return whole


def wrap(message: bytes, *, compressed: bool = False) -> bytes:
    """A body with one message; ``compressed`` says that it is, with what the headers name."""
    return (b"\x01" if compressed else b"\x00") + len(message).to_bytes(4, "big") + message


def percent_encoded(text: str) -> str:
    """A text as ``grpc-message`` carries it."""
    return "".join(
        chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}"
        for byte in text.encode()
    )
