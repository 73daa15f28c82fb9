"""The bytes inside a packed file, read so strictly that a damaged file cannot pass for a whole one.

The standard library's readers forgive: ``tarfile`` takes a damaged header in the middle for the
end, ``bz2`` and ``lzma`` ignore what follows the stream, and nothing reads on to the gzip trailer
once the last member is out. Here every stream has to come to its own end, checksum included, and
nothing but zeros may follow it.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import BinaryIO, Optional, Protocol

from .errors import ReleaseError

CHUNK = 256 * 1024
# xz may ask for gigabytes of dictionary; its presets need at most 65 MiB.
_XZ_MEMORY = 128 * 1024 * 1024


class _Inflater(Protocol):
    """What gzip, bzip2 and xz have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor behind the interface of the other two, which keep what they did not
    get to themselves."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._left = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = self._inner.decompress(self._left + data, max_length)
        self._left = self._inner.unconsumed_tail
        return out


_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"))
_LONGEST_MAGIC = max(len(magic) for magic, _ in _MAGIC)


def packing(start: bytes) -> Optional[str]:
    """How a file that begins with ``start`` is packed, or None when it is not."""
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


def _inflater(name: str) -> _Inflater:
    if name == "gzip":
        return _Gzip()
    if name == "bzip2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


class Unpacked:
    """A readable stream of what is inside ``file`` (or of the file itself when it is not packed).

    ``read_in`` counts the bytes taken from the file, ``given`` those handed out.
    Raises ``ReleaseError`` from ``read`` for anything that is not whole.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self.read_in = 0
        self.given = 0
        self._ahead = self._take()
        self._packing = packing(self._ahead)
        self._inner = None if self._packing is None else _inflater(self._packing)
        self._over = False

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end."""
        out = bytearray()
        while len(out) < size:
            piece = self._some(size - len(out))
            if not piece:
                break
            out += piece
        self.given += len(out)
        return bytes(out)

    def _take(self) -> bytes:
        data = self._file.read(CHUNK)
        self.read_in += len(data)
        return data

    def _some(self, size: int) -> bytes:
        if self._inner is None:
            data = self._ahead or self._take()
            self._ahead = data[size:]
            return data[:size]
        while not self._over:
            data, self._ahead = self._ahead, b""
            try:
                out = self._inner.decompress(data, size)
            except (OSError, zlib.error, lzma.LZMAError, EOFError) as error:
                raise self._bad(f"its {self._packing} stream is damaged ({error})") from None
            if self._inner.eof:
                self._next_stream()
            elif not out:
                self._ahead = self._take()
                if not self._ahead:
                    raise self._bad(f"its {self._packing} stream ends before its trailer")
            if out:
                return out
        return b""

    def _next_stream(self) -> None:
        assert self._inner is not None
        rest = self._inner.unused_data
        # The next stream's first bytes may lie on both sides of a chunk's end.
        while len(rest) < _LONGEST_MAGIC:
            more = self._take()
            if not more:
                break
            rest += more
        # Two streams one after the other are legal (pigz, cat a.gz b.gz).
        if self._packing is not None and packing(rest) == self._packing:
            self._inner = _inflater(self._packing)
            self._ahead = rest
            return
        self._over = True
        while rest:
            if rest.strip(b"\0"):
                raise self._bad(f"something follows its {self._packing} stream")
            rest = self._take()

    def _bad(self, cause: str) -> ReleaseError:
        return ReleaseError("unpack", self._path, cause, "publish it again, packed anew")
