"""Reads the bytes inside a packed file, and refuses a damaged or incomplete file.

The standard library's readers accept damage. ``tarfile`` takes a damaged header in the middle for
the end. ``bz2`` and ``lzma`` ignore what follows the stream. No reader goes on to the gzip trailer
after the last member. Here every stream must have its own end with its checksum. Only zeros
may follow it. If a manifest's digest proves the bytes, newlines and spaces may follow, too.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from typing import Any, Optional, Protocol, Union

from ..errors import BadOption, ReleaseError

CHUNK = 256 * 1024
Buffer = Union[bytes, memoryview]
# xz may ask for gigabytes of dictionary; its presets need at most 65 MiB.
_XZ_MEMORY = 128 * 1024 * 1024
# The limit for zstd, as a power of two. Archives of --long=28 and more exceed it.
_ZSTD_WINDOW = 27
ACCEPTED = "publish a tar, plain or packed once with gzip, bzip2, xz or zstd"


class Readable(Protocol):
    """What packed bytes are read from. May give fewer bytes than asked for; none at the end."""

    def read(self, size: int, /) -> bytes: ...


class _Inflater(Protocol):
    """The interface of the decompressors for gzip, bzip2, xz and zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface of the others, which keep unused input themselves."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._left = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        out = self._inner.decompress(self._left + data, max_length)
        self._left = self._inner.unconsumed_tail
        return out


_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    # A skippable frame (RFC 8878, 3.1.2): pzstd begins with one.
    *((bytes([0x50 + number]) + b"\x2a\x4d\x18", "zstd") for number in range(16)),
)
_LONGEST_MAGIC = max(len(magic) for magic, _ in _MAGIC)
_OTHERS = (
    (b"PK\x03\x04", "it is a zip archive"),
    (b"PK\x05\x06", "it is a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive"),
    (b"Rar!\x1a\x07", "it is a rar archive"),
    (b"\x04\x22\x4d\x18", "it is packed with lz4"),
    (b"LZIP", "it is packed with lzip"),
    (b"\x5d\x00\x00", "it is packed as .lzma, which is older than xz"),
    (b"\x1f\x9d", "it is packed with compress (.Z)"),
    (b"<!doctype", "it is a web page"),
    (b"<html", "it is a web page"),
)


def packing(start: bytes) -> Optional[str]:
    """Return how a file that begins with ``start`` is packed, or None."""
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


def named(start: bytes) -> Optional[str]:
    """Return a sentence that names the kind of a file by its first bytes; None if unknown."""
    inner = packing(start)
    if inner is not None:
        return f"it is packed twice (there is {inner} inside)"
    text = start.lstrip().lower()
    return next(
        (what for magic, what in _OTHERS if start.startswith(magic) or text.startswith(magic)), None
    )


def load_zstd() -> Any:
    """Return the module that unpacks zstd. Raises ``BadOption`` when there is none."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise BadOption(
        "a tarball packed with zstd needs backports.zstd; in the checkout, type "
        "`pip install './monitor[zstd]'`"
    )


class _Zstd:
    """zstd's decompressor. Raises ``OSError`` for damage, as bzip2's does."""

    def __init__(self) -> None:
        zstd = load_zstd()
        self._error: type[Exception] = zstd.ZstdError
        bound = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW}
        self._inner = zstd.ZstdDecompressor(options=bound)

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        try:
            return bytes(self._inner.decompress(data, max_length))
        except self._error as error:
            raise OSError(str(error)) from None


def _inflater(name: str) -> _Inflater:
    if name == "gzip":
        return _Gzip()
    if name == "bzip2":
        return bz2.BZ2Decompressor()
    if name == "xz":
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    return _Zstd()


class Unpacked:
    """A stream of the unpacked bytes of ``file`` (of the file itself when it is not packed).

    Args:
        proven: A manifest's digest proves the bytes.

    Attributes:
        read_in: How many bytes were read from the file.
        given: How many bytes were handed out.
        filler: The bytes that may follow the end.
        doubt: The end of a sentence about a wrong end.
    """

    def __init__(self, file: Readable, path: str, proven: bool) -> None:
        self._file = file
        self._path = path
        self.filler = b"\0\t\n\r " if proven else b"\0"
        self.doubt = "" if proven else ", and no manifest proves that its bytes are whole"
        self.read_in = 0
        self.given = 0
        start = self._take()
        self._ahead: Buffer = start
        self._packing = packing(start)
        self._inner = None if self._packing is None else _inflater(self._packing)
        self._over = False

    def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes, fewer only at the end.

        Raises:
            ReleaseError: The file is damaged or incomplete.
        """
        out = bytearray()
        while len(out) < size:
            piece = self.read_some(size - len(out))
            if not piece:
                break
            out += piece
        return bytes(out)

    def read_some(self, size: int) -> Buffer:
        """Return some bytes, at most ``size``; none only at the end.

        Raises:
            ReleaseError: As for ``read``.
        """
        piece = self._some(size)
        self.given += len(piece)
        return piece

    def _take(self) -> bytes:
        data = self._file.read(CHUNK)
        self.read_in += len(data)
        return data

    def _some(self, size: int) -> Buffer:
        if self._inner is None:
            # A view, so that no byte of a plain tar is copied.
            plain = memoryview(self._ahead or self._take())
            self._ahead = plain[size:]
            return plain[:size]
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
            if rest.strip(self.filler):
                raise self._bad(f"something follows its {self._packing} stream{self.doubt}")
            rest = self._take()

    def _bad(self, cause: str) -> ReleaseError:
        return ReleaseError("unpack", self._path, cause, "publish it again, packed anew")
