"""Reads a tar, block by block; of each header only what a release needs.

Formats: ustar, pax, GNU (long names, all forms of sparse files) and the old tar without a magic.
Owner, times and modes are ignored. ``tarfile`` is not used: it takes a damaged header in the middle
for the archive's end, and it refuses an owner that is not UTF-8.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from ..errors import ReleaseError
from .stream import ACCEPTED, CHUNK, Buffer, Unpacked, named

BLOCK = 512
VOLUME_LABEL = b"V"
_ZEROS = bytes(BLOCK)
# The limit for names and pax records. A record may hold an extended attribute of 64 KiB twice.
_MAX_EXTENSION = 4 * 1024 * 1024
# One member may have a comment for all, a pax header, a GNU long name and a GNU long link.
_MAX_EXTENSIONS = 4
_MAX_PIECES = 100_000
# The longest path of Linux; and how many bytes of a long value a sentence shows.
_MAX_NAME = 4096
_SHOWN = 40
_EXTENSIONS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_SPARSE = b"GNU.sparse."
_BAD_MAP = "the map of a sparse file in it is damaged"

Records = Sequence[tuple[bytes, bytes]]
Pieces = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Header:
    """One member.

    ``size`` is the unpacked size in bytes. ``pieces`` says where the stored bytes belong, as pairs
    of offset and length. A sparse file has zeros between them.
    """

    # The name as it is in the archive.
    name: str
    # One of ``tarfile``'s types.
    type: bytes
    size: int
    # The name that a link leads to; else empty.
    link: str
    pieces: Pieces


class Tar:
    """The members of the tar in ``stream``, which is read to its end.

    Args:
        stream: The unpacked bytes.
        refuse: Makes the error to raise, from a cause and an optional hint.
        turn: Called after each header and each piece; may raise to end the reading.
        proven: A manifest's digest proves the bytes. Otherwise the tar must have its end blocks.
    """

    def __init__(
        self,
        stream: Unpacked,
        refuse: Callable[..., ReleaseError],
        turn: Callable[[], None],
        proven: bool,
    ) -> None:
        self._stream = stream
        self._refuse = refuse
        self._turn = turn
        self._proven = proven
        # For the current member: unread stored bytes, and the bytes that fill its last block.
        self._left = 0
        self._padding = 0

    def members(self) -> Iterator[Header]:
        """Yield the members in order. Content that the caller did not read is skipped."""
        while True:
            header = self._next()
            if header is None:
                return
            yield header
            self._pass_over()

    def content(self, header: Header) -> Iterator[tuple[int, Buffer]]:
        """Yield the bytes of the current member, each piece with its offset in the file."""
        for start, length in header.pieces:
            offset = start
            for piece in self._take(length):
                yield offset, piece
                offset += len(piece)

    def _next(self) -> Optional[Header]:
        long: dict[bytes, bytes] = {}
        records: Records = ()
        extensions, pending = 0, False
        while True:
            block = self._stream.read(BLOCK)
            self._turn()
            if len(block) < BLOCK or block == _ZEROS:
                self._finish(block, pending)
                return None
            kind, size = self._kind(block), self._octal(block[124:136])
            if kind not in _EXTENSIONS:
                return self._member(block, kind, size, long, records)
            extensions += 1
            if extensions > _MAX_EXTENSIONS:
                raise self._refuse("it has more than four extended headers for one member")
            content = self._extension(size)
            pending = pending or kind != tarfile.XGLTYPE
            if kind == tarfile.XHDTYPE:
                records = self._pax(content)
            elif kind == tarfile.XGLTYPE:
                # Records for all members may be comments (git archive), but not names or sizes.
                self._refuse_for_all(self._pax(content))
            else:
                long[kind] = content.rstrip(b"\0")

    def _kind(self, block: bytes) -> bytes:
        """Check a header's sum and return its type."""
        if not _sum_fits(block):
            raise self._no_header(block)
        old_folder = block[156:157] == tarfile.AREGTYPE and _text(block[:100]).endswith(b"/")
        return tarfile.DIRTYPE if old_folder else block[156:157]

    def _member(
        self, block: bytes, kind: bytes, size: int, long: dict[bytes, bytes], records: Records
    ) -> Header:
        name, link = _text(block[:100]), _text(block[157:257])
        # Only POSIX has the first part of the name here; GNU has other fields.
        if block[257:263] == b"ustar\0" and block[345]:
            name = _text(block[345:500]) + b"/" + name
        pax = dict(records)
        name = pax.get(b"path") or long.get(tarfile.GNUTYPE_LONGNAME) or name
        link = pax.get(b"linkpath") or long.get(tarfile.GNUTYPE_LONGLINK) or link
        if b"size" in pax:
            size = self._decimal(pax[b"size"])
        unpacked = size
        pieces: Pieces = ((0, size),)
        if kind == tarfile.GNUTYPE_SPARSE:
            kind = tarfile.REGTYPE
            unpacked = self._octal(block[483:495])
            numbers = self._old_map(block)
            self._begin(size)
            pieces = self._checked(numbers, unpacked)
        elif kind in FILES:
            self._begin(size)
            if any(key.startswith(_SPARSE) for key in pax):
                name = pax.get(b"GNU.sparse.name") or name
                real = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size") or b""
                unpacked = self._decimal(real)
                pieces = self._checked(self._map(pax, records), unpacked)
        else:
            self._begin(size)
        # Unused names may have any encoding.
        name = b"" if kind == VOLUME_LABEL else name
        link = link if kind == tarfile.LNKTYPE else b""
        return Header(self._utf8(name), kind, unpacked, self._utf8(link), pieces)

    # --- the bytes after a header ---------------------------------------------------------------

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _take(self, size: int) -> Iterator[Buffer]:
        """Yield the next ``size`` stored bytes of the current member."""
        while size:
            piece = self._stream.read_some(min(size, CHUNK))
            if not piece:
                raise self._refuse("it ends in the middle of a file")
            size -= len(piece)
            self._left -= len(piece)
            self._turn()
            yield piece

    def _pass_over(self) -> None:
        for _ in self._take(self._left):
            pass
        # An archive that Go's archive/tar did not close has a last block that is too short.
        if len(self._stream.read(self._padding)) < self._padding and not self._proven:
            raise self._refuse("it ends in the middle of a file")

    def _extension(self, size: int) -> bytes:
        if size > _MAX_EXTENSION:
            raise self._refuse("it has an extended header of more than 4 MiB")
        self._begin(size)
        content = b"".join(self._take(size))
        self._pass_over()
        return content

    def _finish(self, block: bytes, pending: bool) -> None:
        """Check the end of the tar: two blocks of zeros, then only zeros."""
        if not self._stream.given:
            raise self._refuse("it is empty")
        if self._stream.given < BLOCK and block.strip(self._stream.filler):
            raise self._no_header(block)
        last = self._stream.read(BLOCK) if block == _ZEROS else block
        whole = block == last == _ZEROS
        filler = self._stream.filler
        if pending or last.strip(filler) or not (whole or self._proven):
            raise self._refuse(f"it ends without the end of a tar{self._stream.doubt}")
        while True:
            rest = self._stream.read(CHUNK)
            self._turn()
            if not rest:
                return
            if rest.strip(filler):
                raise self._refuse(f"something follows the end of the tar{self._stream.doubt}")

    def _no_header(self, block: bytes) -> ReleaseError:
        if self._stream.given > BLOCK:
            return self._refuse("a header in it is damaged")
        return self._refuse(named(block) or "it is not a tar archive", ACCEPTED)

    # --- pax records, sparse maps, numbers and names ------------------------------------------

    def _pax(self, content: bytes) -> Records:
        r"""Return the used records of a pax header: ``LENGTH KEY=VALUE\n`` each (pax(1))."""
        records = []
        start = 0
        while start < len(content):
            digits = content[start : start + 8].partition(b" ")[0]
            end = start + (int(digits) if digits.isdigit() else 0)
            record = content[start + len(digits) + 1 : end]
            key, equals, value = record[:-1].partition(b"=")
            if not (key and equals and end <= len(content) and record[-1:] == b"\n"):
                raise self._refuse("a pax header in it is damaged")
            if key in (b"path", b"linkpath", b"size") or key.startswith(_SPARSE):
                records.append((key, value))
            start = end
        return records

    def _refuse_for_all(self, records: Records) -> None:
        for key, _ in records:
            raise self._refuse(f"a pax header in it has {key[:_SHOWN]!r} for all members")

    def _map(self, pax: dict[bytes, bytes], records: Records) -> list[int]:
        """Return offset, length, offset, … of a sparse file in one of GNU's three pax formats."""
        if b"GNU.sparse.major" in pax:
            return self._map_in_content()
        if b"GNU.sparse.map" in pax:
            texts = [text for text in pax[b"GNU.sparse.map"].split(b",") if text]
        else:
            wanted = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
            texts = [value for key, value in records if key in wanted]
        return [self._decimal(text) for text in texts]

    def _map_in_content(self) -> list[int]:
        """Read version 1.0: the number of pairs, then one number a line, padded to a block."""
        count, _, text = self._block_of_map().partition(b"\n")
        needed = 2 * self._decimal(count)
        if needed > 2 * _MAX_PIECES:
            raise self._refuse(_BAD_MAP)
        blocks, lines = [text], text.count(b"\n")
        while lines < needed:
            blocks.append(self._block_of_map())
            lines += blocks[-1].count(b"\n")
        return [self._decimal(line) for line in b"".join(blocks).split(b"\n")[:needed]]

    def _block_of_map(self) -> bytes:
        if self._left < BLOCK:
            raise self._refuse(_BAD_MAP)
        return b"".join(self._take(BLOCK))

    def _old_map(self, block: bytes) -> list[int]:
        """Read GNU's older format: four pairs in the header, 21 in each following block."""
        numbers: list[int] = []
        pairs, more = block[386:482], block[482]
        while True:
            for start in range(0, len(pairs), 24):
                if pairs[start : start + 24].strip(b"\0"):
                    numbers.append(self._octal(pairs[start : start + 12]))
                    numbers.append(self._octal(pairs[start + 12 : start + 24]))
            if not more or len(numbers) > 2 * _MAX_PIECES:
                return numbers
            block = self._stream.read(BLOCK)
            self._turn()
            if len(block) < BLOCK:
                raise self._refuse("it ends in the middle of a file")
            pairs, more = block[:504], block[504]

    def _checked(self, numbers: list[int], size: int) -> Pieces:
        """Return the pieces of a sparse file of ``size`` bytes; refuse a wrong map."""
        pieces = tuple(zip(numbers[::2], numbers[1::2]))
        end = stored = 0
        ordered = True
        for offset, length in pieces:
            ordered = ordered and offset >= end
            end = offset + length
            stored += length
        fits = stored == self._left and end <= size and len(numbers) % 2 == 0
        if not (ordered and fits) or len(pieces) > _MAX_PIECES:
            raise self._refuse(_BAD_MAP)
        return pieces

    def _octal(self, field: bytes) -> int:
        number = _number(field)
        if number is None:
            raise self._refuse("a header in it is damaged")
        return number

    def _decimal(self, text: bytes) -> int:
        if not (text.isdigit() and len(text) < 20):
            raise self._refuse("a pax header in it is damaged")
        return int(text)

    def _utf8(self, raw: bytes) -> str:
        if len(raw) > _MAX_NAME:
            raise self._refuse(f"it has a name of {len(raw)} bytes, {raw[:_SHOWN]!r}…")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._refuse(f"{raw!r} is no UTF-8 name") from None


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _sum_fits(block: bytes) -> bool:
    """Return whether a header's sum is right. Old tars add signed bytes."""
    said, summed = _number(block[148:156]), block[:148] + b" " * 8 + block[156:]
    plain = sum(summed)
    return said == plain or said == plain - 256 * sum(byte > 127 for byte in summed)


def _number(field: bytes) -> Optional[int]:
    """Return a number of a header, octal or (if large) binary; None for anything else."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = _text(field).strip(b" ")
    return None if text.strip(b"01234567") else int(text or b"0", 8)
