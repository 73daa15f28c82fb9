"""baidu_std, brpc's own protocol, as a client speaks it: bytes in, bytes out, no I/O.

A frame is ``PRPC``, two sizes (what follows the header, the meta), the meta, the payload and the
attachment. The meta is a protobuf message. It is read and written by hand here: the engine under
test has code of its own for it, and a fault that both share would not be seen.

Source: brpc's docs/cn/baidu_std.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, Optional, Union

#: The magic word, then the sizes of what follows and of the meta, both uint32, big endian.
HEADER = struct.Struct(">4sII")
#: The values of compress_type.
NONE, SNAPPY, GZIP, ZLIB = range(4)

_VARINT, _BYTES = 0, 2


class Answer(NamedTuple):
    """One answer of the server."""

    correlation_id: int
    # 0 if the call succeeded.
    code: int
    # The text of the error.
    text: str
    # The compress_type of the payload.
    compression: int
    # The ``Response``, compressed.
    payload: bytes
    attachment: bytes


def request(
    service: str,
    method: str,
    payload: bytes,
    correlation_id: int,
    *,
    compression: int = NONE,
    log_id: Optional[int] = None,
    attachment: bytes = b"",
    authentication: bytes = b"",
) -> bytes:
    """Return the frame of a request; ``payload`` is compressed already."""
    called = _field(1, service.encode()) + _field(2, method.encode())
    if log_id is not None:
        called += _field(3, log_id)
    meta = b"".join(
        (
            _field(1, called),
            _field(3, compression),
            _field(4, correlation_id),
            _field(5, len(attachment)),
            _field(7, authentication) if authentication else b"",
        )
    )
    size = len(meta) + len(payload) + len(attachment)
    return HEADER.pack(b"PRPC", size, len(meta)) + meta + payload + attachment


def read_answer(frame: bytes) -> Answer:
    """Return the answer in a whole frame. Raises ``ValueError`` if its meta is no protobuf."""
    _, body, meta_size = HEADER.unpack_from(frame)
    start, end = HEADER.size + meta_size, HEADER.size + body
    meta = dict(_fields(frame[HEADER.size : start]))
    response = dict(_fields(_as_bytes(meta.get(2, b""))))
    middle = end - _as_int(meta.get(5, 0))
    return Answer(
        _as_int(meta.get(4, 0)),
        _as_int(response.get(1, 0)),
        _as_bytes(response.get(2, b"")).decode(errors="replace"),
        _as_int(meta.get(3, 0)),
        frame[start:middle],
        frame[middle:end],
    )


def _field(number: int, value: Union[int, bytes]) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _fields(data: bytes) -> Iterator[tuple[int, Union[int, bytes]]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while at < len(data):
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
        raise ValueError(f"the meta ends within a number: {data!r}")

    while at < len(data):
        key = varint()
        value: Union[int, bytes] = varint()
        if key & 7 == _BYTES:
            end = at + _as_int(value)
            value, at = data[at:end], end
        elif key & 7 != _VARINT or at > len(data):
            raise ValueError(f"the meta is no protobuf message that brpc writes: {data!r}")
        yield key >> 3, value


def _as_int(value: Union[int, bytes]) -> int:
    if isinstance(value, bytes):
        raise ValueError(f"{value!r} stands where a number belongs")
    # A negative number is written as its 64-bit two's complement.
    return value - (1 << 64) if value >> 63 else value


def _as_bytes(value: Union[int, bytes]) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"{value} stands where bytes belong")
    return value
