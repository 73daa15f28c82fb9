"""Bodies are unpacked here, to at most ``limit`` bytes."""

from __future__ import annotations

import zlib

import cramjam

from . import _baidu_std

# zlib's window bits: 31 is gzip, 15 is zlib's own format.
_WINDOW = {"gzip": 31, "deflate": 15, _baidu_std.GZIP: 31, _baidu_std.ZLIB: 15}


class BadCompression(ValueError):
    """The body is not what its encoding says, or becomes larger than it may."""


def unpack(kind: object, data: bytes, limit: int) -> bytes:
    """Return a body unpacked.

    Args:
        kind: The compression: a number of baidu_std, or ``gzip`` or ``deflate``.
        data: The body.
        limit: The most bytes that may come out.

    Raises:
        BadCompression: The body is broken or too large, or the compression is unknown.
    """
    if kind == _baidu_std.NONE:
        return data
    if kind == _baidu_std.SNAPPY:
        return _snappy(data, limit)
    if kind not in _WINDOW:
        raise BadCompression(f"the compression {kind} is unknown")
    unpacker = zlib.decompressobj(_WINDOW[kind])
    try:
        # One byte more than the limit, to notice a body over the limit.
        whole = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadCompression(str(error)) from None
    if len(whole) > limit or not unpacker.eof:
        raise BadCompression(f"the compressed body is cut off, or is over {limit} bytes")
    return whole


def _snappy(data: bytes, limit: int) -> bytes:
    try:
        # cramjam allocates the announced size before it looks at the rest of the body.
        if cramjam.snappy.decompress_raw_len(data) > limit:
            raise BadCompression(f"the compressed body is over {limit} bytes")
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise BadCompression(str(error)) from None


def gzipped(data: bytes) -> bytes:
    """Return the data as gzip, packed fast rather than small: answers are short."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31, 1 if len(data) < 16384 else 8)
    return packer.compress(data) + packer.flush()
