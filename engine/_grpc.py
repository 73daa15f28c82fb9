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

# Clients take 8 kB of headers in all (grpcio, grpc-java); of this is only the message, encoded.
_LONGEST_MESSAGE = 4096
_LONGEST_CONTENT_TYPE = 256
_CUT = "..."

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


def content_type(asked: str) -> str:
    """The answer's, to a request with that one: the same, unless a client made it very long."""
    return asked if len(asked) <= _LONGEST_CONTENT_TYPE else "application/grpc"


def status_message(text: str) -> str:
    """A text as ``grpc-message`` carries it, cut between two characters when it is too long."""
    # Behind so many characters nothing fits any more.
    encoded = _percent_encoded(text[: _LONGEST_MESSAGE + 1])
    if len(encoded) <= _LONGEST_MESSAGE:
        return encoded
    room = _LONGEST_MESSAGE - len(_CUT)
    kept = []
    for character in text:
        part = _percent_encoded(character)
        room -= len(part)
        if room < 0:
            break
        kept.append(part)
    return "".join(kept) + _CUT


def _percent_encoded(text: str) -> str:
    return "".join(
        chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}"
        for byte in text.encode()
    )
