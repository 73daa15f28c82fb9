"""Bodies are unpacked here, with a bound on what comes out."""

from __future__ import annotations

import zlib

import cramjam

from . import _baidu_std

_WINDOW = {_baidu_std.GZIP: 31, _baidu_std.ZLIB: 15}


class BadCompression(ValueError):
    """The body is not what its encoding says, or becomes larger than it may."""


def unpack(kind: int, data: bytes, limit: int) -> bytes:
    """The body of a baidu_std compression type, at most ``limit`` bytes. Raises
    ``BadCompression``, and ``KeyError`` for an unknown type."""
    if kind == _baidu_std.NONE:
        return data
    if kind == _baidu_std.SNAPPY:
        return _snappy(data, limit)
    return _deflated(data, _WINDOW[kind], limit)


def gunzip(data: bytes, limit: int) -> bytes:
    """A gzip body, at most ``limit`` bytes. Raises ``BadCompression``."""
    return _deflated(data, 31, limit)


def _deflated(data: bytes, window: int, limit: int) -> bytes:
    unpacker = zlib.decompressobj(window)
    try:
        # One byte more than allowed, so that too much shows.
        whole = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadCompression(str(error)) from None
    if len(whole) > limit:
        raise BadCompression(f"more than {limit} bytes come out")
    if not unpacker.eof:
        raise BadCompression("the compressed stream is cut off")
    return whole


def _snappy(data: bytes, limit: int) -> bytes:
    # The size that the stream claims stands at its start; cramjam allocates it before it looks.
    size = 0
    for place, byte in enumerate(data[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    else:
        raise BadCompression("no length at the start of the snappy block")
    # No snappy element makes more than 64 bytes out of three.
    if size > limit or size > 64 * (len(data) // 2 + 1):
        raise BadCompression(f"{size} bytes should come out of {len(data)}")
    try:
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise BadCompression(str(error)) from None
