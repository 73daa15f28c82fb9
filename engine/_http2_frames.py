"""HTTP/2 frames as bytes (RFC 9113, 4 and 6), and header blocks on their way out. Pure.

Answers carry few headers, always the same; they are written as literals without indexing
(RFC 7541, 6.2.2), so that no table has to be kept and a block is made once.
"""

from __future__ import annotations

import functools
import struct
from typing import Union

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
FLOW_CONTROL_ERROR = 0x3
STREAM_CLOSED = 0x5
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
COMPRESSION_ERROR = 0x9
ENHANCE_YOUR_CALM = 0xB

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6

LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65535
DEFAULT_FRAME_SIZE = 16384
# Headers that echo what a client sent can be of any size; those are not kept.
_LONGEST_KEPT = 256

_HEAD = struct.Struct(">HBBBI")
_WORD = struct.Struct(">I")
_SETTING = struct.Struct(">HI")
# Names and pairs of the static table (RFC 7541, Appendix A) that answers use.
_STATIC_PAIRS = {(":status", "200"): 8, (":status", "404"): 13, (":status", "400"): 12}
_STATIC_PAIRS[":status", "500"] = 14
_STATIC_NAMES = {":status": 8, "content-type": 31, "content-encoding": 26}


def frame(kind: int, flags: int, stream: int, payload: Union[bytes, memoryview] = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def frame_head(data: bytearray, at: int) -> tuple[int, int, int, int]:
    """Payload's size, type, flags and stream of the frame that starts at ``at``."""
    high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
    return high << 8 | low, kind, flags, stream & LARGEST_WINDOW


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*one) for one in values.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Identifier and value of each setting, in their order."""
    return [_SETTING.unpack_from(payload, at) for at in range(0, len(payload) - 5, 6)]


def word(payload: bytes) -> int:
    """The 31 bits that a frame's payload starts with."""
    return int(_WORD.unpack_from(payload)[0]) & LARGEST_WINDOW


def window_update(stream: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(more))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def goaway(last_stream: int, code: int) -> bytes:
    return frame(GOAWAY, 0, 0, _WORD.pack(last_stream) + _WORD.pack(code))


def header_frames(stream: int, flags: int, block: bytes, largest: int) -> bytes:
    """A header block in as many frames as ``largest``, the peer's frame size, makes of it.

    They are one piece, because nothing may come between them (RFC 9113, 6.10).
    """
    if len(block) <= largest:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [frame(HEADERS, flags, stream, block[:largest])]
    for at in range(largest, len(block), largest):
        last = END_HEADERS if at + largest >= len(block) else 0
        parts.append(frame(CONTINUATION, last, stream, block[at : at + largest]))
    return b"".join(parts)


def header_block(headers: tuple[tuple[str, str], ...]) -> bytes:
    """A header block that leaves the peer's table as it is."""
    if sum(len(name) + len(value) for name, value in headers) <= _LONGEST_KEPT:
        return _kept_block(headers)
    return _block(headers)


@functools.lru_cache(maxsize=256)
def _kept_block(headers: tuple[tuple[str, str], ...]) -> bytes:
    return _block(headers)


def _block(headers: tuple[tuple[str, str], ...]) -> bytes:
    parts = []
    for name, value in headers:
        pair = _STATIC_PAIRS.get((name, value))
        if pair is not None:
            parts.append(_integer(pair, 7, 0x80))
            continue
        parts.append(_integer(_STATIC_NAMES.get(name, 0), 4, 0x00))
        if name not in _STATIC_NAMES:
            parts.append(_string(name))
        parts.append(_string(value))
    return b"".join(parts)


def _integer(value: int, bits: int, first: int) -> bytes:
    """RFC 7541, 5.1."""
    largest = (1 << bits) - 1
    if value < largest:
        return bytes([first | value])
    out = [first | largest]
    value -= largest
    while value >= 128:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(text: str) -> bytes:
    data = text.encode("latin-1", errors="replace")
    return _integer(len(data), 7, 0x00) + data
