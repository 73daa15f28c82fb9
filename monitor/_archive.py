"""Strict reading of a release's tarball: what may be in it, and nothing else, goes to a folder.

Allowed are regular files and folders below one expected top folder, with sane names, each once,
within bounds of number, size and expansion, in a tar with a whole end. One member that is
anything else refuses the whole archive; it is not left out. The headers are read here and not by
``tarfile``, because that takes a damaged header in the middle of an archive for its end.

Formats: ustar, with pax and GNU long names (what ``tar`` and Python's ``tarfile`` write).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Callable, Optional

from ._stream import CHUNK, Unpacked
from .errors import ReleaseError

BLOCK = 512
# Names and pax records; a longer one is no name of a file.
_MAX_EXTENSION = 64 * 1024
_MAX_NAME = 255
_MAX_PATH = 1024
_MAX_DEPTH = 32
# Before one member: a comment for all, a pax header and a GNU long name are all that may come.
_MAX_EXTENSIONS = 3
# Below this many bytes any expansion is harmless: a small model of zeros packs 1000 to 1.
_EXPANSION_FREE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Most members, most bytes unpacked, most times that it may expand."""

    members: int
    size: int
    expansion: int


@dataclass(frozen=True)
class Member:
    """A file or folder; ``path`` is relative to the top folder ("" is that folder itself)."""

    path: str
    size: int
    folder: bool


def unpack(
    path: str,
    target: str,
    *,
    top: str,
    limits: Limits,
    before_file: Callable[[Member], None],
    alive: Callable[[], None],
) -> list[Member]:
    """Unpacks the archive ``path`` into the existing, empty folder ``target``.

    ``before_file`` is called before each file is written (free space), ``alive`` for each header
    and each piece.
    Gives the members. Raises ``ReleaseError``; what was written until then is the caller's to
    remove. An ``OSError`` of this machine passes through.
    """
    with open(path, "rb") as file:
        return _Reader(file, path, top, limits, alive).run(target, before_file)


class _Reader:
    def __init__(
        self, file: BinaryIO, path: str, top: str, limits: Limits, alive: Callable[[], None]
    ) -> None:
        self._path = path
        self._top = top
        self._limits = limits
        self._alive = alive
        self._stream = Unpacked(file, path)
        self._size = 0
        # Every path seen -> whether it is a folder that stood there itself (None: only implied).
        self._seen: dict[str, Optional[bool]] = {}

    def run(self, target: str, before_file: Callable[[Member], None]) -> list[Member]:
        members = []
        for member in self._members():
            members.append(member)
            place = os.path.join(target, member.path) if member.path else target
            if member.folder:
                os.makedirs(place, exist_ok=True)
                continue
            before_file(member)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "xb") as out:
                for piece in self._content(member.size):
                    out.write(piece)
        if not any(not member.folder for member in members):
            raise self._bad("it holds no file")
        return members

    def _members(self) -> Iterator[Member]:
        long_name: Optional[str] = None
        pax: dict[str, str] = {}
        extensions = 0
        while True:
            self._alive()
            block = self._stream.read(BLOCK)
            self._check_expansion()
            if block == bytes(BLOCK):
                self._finish(after_extension=long_name is not None or bool(pax))
                return
            header = self._header(block)
            if header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
                extensions += 1
                if extensions > _MAX_EXTENSIONS:
                    raise self._bad("it has more than three extended headers for one member")
                content = self._extension(header.size)
                if header.type == tarfile.GNUTYPE_LONGNAME:
                    long_name = self._text(content.rstrip(b"\0"))
                elif header.type == tarfile.XHDTYPE:
                    pax = self._pax(content)
                else:
                    # Global records are comments (git archive); a name for all would be nonsense.
                    self._refuse_keys(self._pax(content), ("path", "size"))
                continue
            name = pax.get("path") or long_name or header.name
            size = self._pax_size(pax["size"]) if "size" in pax else header.size
            long_name, pax, extensions = None, {}, 0
            yield self._member(name, size, header)

    def _header(self, block: bytes) -> tarfile.TarInfo:
        if len(block) < BLOCK:
            what = "it is empty" if not self._stream.given else "it ends without the end of a tar"
            raise self._bad(what)
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            first = self._stream.given == BLOCK
            what = "it is not a tar archive" if first else "a header in it is damaged"
            raise self._bad(f"{what} ({error})") from None
        if header.size < 0:
            raise self._bad("a member has a negative size")
        return header

    def _member(self, name: str, size: int, header: tarfile.TarInfo) -> Member:
        folder = header.type == tarfile.DIRTYPE
        if not folder and header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            kind = _KINDS.get(header.type, "a member of an unknown kind")
            raise self._bad(f"{name!r} is {kind}; only files and folders are allowed")
        if folder and size:
            raise self._bad(f"the folder {name!r} has content")
        path = self._place(name, folder)
        self._size += size
        if len(self._seen) > self._limits.members:
            raise self._bad(f"it has more than {self._limits.members} members (--max_members)")
        if self._size > self._limits.size:
            raise self._bad(f"it unpacks to more than {self._limits.size} bytes (--max_unpacked)")
        return Member(path, size, folder)

    def _place(self, name: str, folder: bool) -> str:
        """Checks a name and gives its path below the top folder."""
        plain = name[2:] if name.startswith("./") else name
        plain = plain[:-1] if folder and plain.endswith("/") else plain
        if folder and plain in ("", "."):
            if "" in self._seen:
                raise self._bad(f"{name!r} is in it twice")
            self._seen[""] = folder
            return ""
        parts = plain.split("/")
        if name.startswith("/"):
            raise self._bad(f"{name!r} is an absolute path")
        if ".." in parts:
            raise self._bad(f"{name!r} leads out of the folder")
        insane = not plain.isprintable() or "\\" in plain or len(plain) > _MAX_PATH
        if insane or len(parts) > _MAX_DEPTH or any(map(_odd, parts)):
            raise self._bad(f"{name!r} is no sane name")
        if parts[0] != self._top or (len(parts) == 1 and not folder):
            raise self._bad(
                f"{name!r} is not in the folder {self._top!r} (see --unpacked_filename)"
            )
        for depth in range(1, len(parts)):
            if self._seen.setdefault("/".join(parts[:depth]), None) is False:
                raise self._bad(f"{name!r} is below something that is a file")
        if self._seen.get(plain) is not None or (plain in self._seen and not folder):
            raise self._bad(f"{name!r} is in it twice")
        self._seen[plain] = folder
        return "/".join(parts[1:])

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            piece = self._stream.read(min(left, CHUNK))
            if not piece:
                raise self._bad("it ends in the middle of a file")
            left -= len(piece)
            self._alive()
            self._check_expansion()
            yield piece
        padding = -size % BLOCK
        if len(self._stream.read(padding)) < padding:
            raise self._bad("it ends in the middle of a file")

    def _check_expansion(self) -> None:
        most = self._limits.expansion * self._stream.read_in
        if self._stream.given > max(most, _EXPANSION_FREE):
            raise self._bad(
                f"it expands to more than {self._limits.expansion} times its size (--max_expansion)"
            )

    def _extension(self, size: int) -> bytes:
        if size > _MAX_EXTENSION:
            raise self._bad("it has an extended header of more than 64 KiB")
        return b"".join(self._content(size))

    def _pax(self, content: bytes) -> dict[str, str]:
        """The records of a pax header: ``LENGTH KEY=VALUE\\n`` each (pax(1))."""
        records: dict[str, str] = {}
        while content:
            digits, space, _ = content.partition(b" ")
            length = int(digits) if digits.isdigit() and len(digits) < 6 else 0
            record = content[len(digits) + 1 : length]
            key, equals, value = record[:-1].partition(b"=")
            if not (space and key and equals and length <= len(content) and record[-1:] == b"\n"):
                raise self._bad("a pax header in it is damaged")
            records[self._text(key)] = self._text(value) if key in (b"path", b"size") else ""
            content = content[length:]
        self._refuse_keys(records, ("GNU.sparse.", "linkpath"))
        return records

    def _refuse_keys(self, records: dict[str, str], unwanted: tuple[str, ...]) -> None:
        found = [key for key in records if key.startswith(unwanted)]
        if found:
            raise self._bad(f"a pax header in it has {found[0]!r}, which no release needs")

    def _pax_size(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise self._bad("a pax header in it is damaged")
        return int(text)

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._bad(f"{raw!r} is no UTF-8 name") from None

    def _finish(self, after_extension: bool) -> None:
        """The end of a tar is two blocks of zeros, then at most padding with zeros."""
        if after_extension or self._stream.read(BLOCK) != bytes(BLOCK):
            raise self._bad("it ends without the end of a tar")
        while True:
            self._alive()
            rest = self._stream.read(CHUNK)
            if not rest:
                return
            if rest.strip(b"\0"):
                raise self._bad("something follows the end of the tar")
            self._check_expansion()

    def _bad(self, cause: str) -> ReleaseError:
        return ReleaseError("unpack", self._path, cause, "publish it again, packed anew")


_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


def _odd(part: str) -> bool:
    return part in ("", ".") or len(part.encode("utf-8", "replace")) > _MAX_NAME
