"""Unpacks a release's tarball strictly.

The reader unpacks the files and folders below one expected top folder ("." when the files have
none), each once. It skips harmless members outside that folder, and the files that macOS adds. It
copies a hard link to an earlier file. Skipped members count in the bounds, too.

For anything else the reader refuses the whole archive. Examples are a name that is absolute, climbs
out or is not allowed, another link, a device, and an incomplete end. The reader also refuses an
archive that exceeds the bounds.

An archive may be a file, or a stream that is read once. A hard link to a skipped file needs the
archive a second time, so it needs a file.
"""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, Callable, Optional

from ..disk import start_flush
from ..errors import NeedsFile, ReleaseError
from . import case
from .model import added_by_macos
from .names import is_sane
from .stream import CHUNK, Buffer, Readable, Unpacked
from .tar import FILES, VOLUME_LABEL, Header, Tar

# Below this many bytes any expansion is harmless: a small model of zeros packs 1000 to 1.
_EXPANSION_FREE = 64 * 1024 * 1024
# How many names a sentence shows.
_SHOWN = 3
# After so many bytes of a file, the kernel is asked to begin to write them to disk.
_FLUSH_EVERY = 8 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The bounds of an archive."""

    # Most members.
    members: int
    # Most bytes unpacked.
    size: int
    # How many times its size the archive may unpack to.
    expansion: int


@dataclass(frozen=True)
class Member:
    """A file or folder; ``path`` is relative to the top folder ("" is that folder itself)."""

    path: str
    # The unpacked size, in bytes.
    size: int
    # Whether it is a folder.
    folder: bool


@dataclass(frozen=True)
class Skipped:
    """How many members were skipped: outside the top folder, and added by macOS."""

    # Members outside the top folder.
    outside: int
    # Members that macOS added.
    macos: int


def unpack(
    path: str,
    target: str,
    *,
    top: str,
    limits: Limits,
    proven: bool,
    before_file: Callable[[Member], None],
    alive: Callable[[], None],
) -> Skipped:
    """Unpack the archive ``path`` into the existing, empty folder ``target``.

    Args:
        path: The tarball.
        target: Where to unpack. After an error the caller removes what was written.
        top: The expected top folder; "." when the files have none.
        limits: The bounds.
        proven: A manifest's digest proves the archive's bytes.
        before_file: Called before each file is written, to check the free space.
        alive: Called for each header and each piece.

    Returns:
        How many members were skipped.

    Raises:
        ReleaseError: The archive is refused.
        BadOption: A package that the archive needs is missing.
        OSError: This machine failed.
    """
    with open(path, "rb") as file:
        return unpack_stream(
            file, path, os.fstat(file.fileno()).st_size, target,
            top=top, limits=limits, proven=proven, before_file=before_file, alive=alive,
            again=lambda: open(path, "rb"),
        )  # fmt: skip


def unpack_stream(
    file: Readable,
    path: str,
    packed_size: int,
    target: str,
    *,
    top: str,
    limits: Limits,
    proven: bool,
    before_file: Callable[[Member], None],
    alive: Callable[[], None],
    again: Optional[Callable[[], BinaryIO]] = None,
) -> Skipped:
    """Unpack an archive of ``packed_size`` bytes from a stream, as ``unpack`` does from a file.

    Args:
        file: The stream.
        path: The archive's name in an error.
        packed_size: The archive's length in bytes.
        target: As for ``unpack``.
        top: As for ``unpack``.
        limits: As for ``unpack``.
        proven: As for ``unpack``.
        before_file: As for ``unpack``.
        alive: As for ``unpack``.
        again: Opens the archive once more; None if that is impossible.

    Raises:
        NeedsFile: Without ``again``: a hard link leads to a skipped file.
    """
    reader = _Reader(
        file, path=path, packed_size=packed_size, target=target, top=top, limits=limits,
        proven=proven, alive=alive, again=again,
    )  # fmt: skip
    return reader.run(before_file)


@dataclass(frozen=True)
class _Source:
    """Where the bytes of a hard link's target are.

    They are in the unpacked file ``path``. If the target was skipped (``path`` is None), they
    follow the header number ``index`` in the archive.
    """

    # The size, in bytes.
    size: int
    path: Optional[str]
    index: int


class _Reader:
    def __init__(
        self,
        file: Readable,
        *,
        path: str,
        packed_size: int,
        target: str,
        top: str,
        limits: Limits,
        proven: bool,
        alive: Callable[[], None],
        again: Optional[Callable[[], BinaryIO]],
    ) -> None:
        self._path = path
        self._target = target
        self._top = top
        self._limits = limits
        self._proven = proven
        self._alive = alive
        self._again = again
        self._packed_size = packed_size
        self._stream = Unpacked(file, path, proven)
        self._tar = Tar(self._stream, self._bad, self._turn, proven)
        self._size = 0
        # Bytes that are written and are not in the archive: holes, copies for hard links.
        self._added = 0
        self._names = case.Names(path, target)
        # Unpacked paths. For a folder: whether it is a member (False: only implied by a path).
        self._files: set[str] = set()
        self._folders: dict[str, bool] = {}
        # Skipped members. For those outside the top folder: first part of the name -> how many.
        self._left_out = 0
        self._macos = 0
        self._outside: Counter[str] = Counter()
        self._sources: dict[str, _Source] = {}

    def run(self, before_file: Callable[[Member], None]) -> Skipped:
        for index, header in enumerate(self._tar.members()):
            member = self._admit(header, index)
            if member is None:
                continue
            place = os.path.join(self._target, member.path) if member.path else self._target
            self._names.add(member.path)
            if member.folder:
                os.makedirs(place, exist_ok=True)
                continue
            before_file(member)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "xb") as out:
                end = flushed = 0
                for offset, piece in self._content(header):
                    if offset != end:
                        out.seek(offset)
                    out.write(piece)
                    end = offset + len(piece)
                    if end - flushed >= _FLUSH_EVERY:
                        start_flush(out.fileno(), flushed, end - flushed)
                        flushed = end
                out.truncate(member.size)
        if not self._files:
            raise self._no_file()
        return Skipped(sum(self._outside.values()), self._macos)

    def _admit(self, header: Header, index: int) -> Optional[Member]:
        """Check a member against every rule. Returns None for a member to skip."""
        if header.type == VOLUME_LABEL:
            self._left_out += 1
            self._check_bounds(header.size)
            return None
        folder, link = header.type == tarfile.DIRTYPE, header.type == tarfile.LNKTYPE
        if not (folder or link or header.type in FILES):
            kind = _KINDS.get(header.type, "a member of an unknown kind")
            raise self._bad(f"{header.name!r} is {kind}; only files and folders are allowed")
        if header.size and (folder or link):
            raise self._bad(f"the {'folder' if folder else 'link'} {header.name!r} has content")
        plain = self._plain(header.name, folder)
        source = self._linked(header) if link else _Source(header.size, None, index)
        path = self._path_in_top(plain, folder)
        if path is None:
            self._left_out += 1
            size = header.size
        else:
            self._enter(header.name, plain, folder)
            size = source.size
            self._added += size - sum(length for _, length in header.pieces)
            source = _Source(size, path, index)
        if not folder:
            self._sources[plain] = source
        self._check_bounds(size)
        return None if path is None else Member(path, size, folder)

    def _plain(self, name: str, folder: bool) -> str:
        """Check a name; return it without a leading ``./`` and a folder's last ``/``."""
        plain = name[2:] if name.startswith("./") else name
        plain = plain[:-1] if folder and plain.endswith("/") else plain
        if folder and plain in ("", "."):
            return ""
        if name.startswith("/"):
            raise self._bad(f"{name!r} is an absolute path")
        if ".." in plain.split("/"):
            raise self._bad(f"{name!r} leads out of the folder")
        if not is_sane(plain):
            raise self._bad(f"{name!r} is no sane name")
        return plain

    def _path_in_top(self, plain: str, folder: bool) -> Optional[str]:
        """Return the path below the top folder. Counts a member to skip and returns None."""
        if added_by_macos(plain):
            self._macos += 1
            return None
        if self._top == "." or not plain:
            return plain
        first, _, rest = plain.partition("/")
        if first == self._top and (rest or folder):
            return rest
        self._outside[first] += 1
        return None

    def _enter(self, name: str, plain: str, folder: bool) -> None:
        """Note an unpacked path; refuse a path that comes twice or lies below a file."""
        parts = plain.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above in self._files:
                raise self._bad(f"{name!r} is below something that is a file")
            self._folders.setdefault(above, False)
        stood = self._folders.get(plain)
        if plain in self._files or stood or (stood is not None and not folder):
            raise self._bad(f"{name!r} is in it twice")
        if folder:
            self._folders[plain] = True
        else:
            self._files.add(plain)

    def _linked(self, header: Header) -> _Source:
        link = header.link
        source = self._sources.get(link[2:] if link.startswith("./") else link)
        if source is None:
            raise self._bad(
                f"{header.name!r} is a hard link to {link!r}, which is no file that comes before it"
            )
        return source

    def _check_bounds(self, size: int) -> None:
        self._size += size
        if len(self._files) + len(self._folders) + self._left_out > self._limits.members:
            raise self._bad(f"it has more than {self._limits.members} members (--max_members)")
        if self._size > self._limits.size:
            raise self._bad(f"it unpacks to more than {self._limits.size} bytes (--max_unpacked)")
        self._check_expansion()

    def _content(self, header: Header) -> Iterator[tuple[int, Buffer]]:
        """Yield the pieces of a file, or of a link's target, each with its offset."""
        if header.type != tarfile.LNKTYPE:
            yield from self._tar.content(header)
            return
        source = self._linked(header)
        if source.path is not None:
            with open(os.path.join(self._target, source.path), "rb") as file:
                while True:
                    offset, piece = file.tell(), file.read(CHUNK)
                    if not piece:
                        return
                    self._turn()
                    yield offset, piece
        # The target was skipped and comes earlier in the archive: read the archive once more.
        if self._again is None:
            raise NeedsFile
        with self._again() as file:
            stream = Unpacked(file, self._path, self._proven)
            tar = Tar(stream, self._bad, self._alive, self._proven)
            yield from tar.content(next(islice(tar.members(), source.index, None)))
            self._added += stream.given

    def _turn(self) -> None:
        self._alive()
        self._check_expansion()

    def _check_expansion(self) -> None:
        times, given = self._limits.expansion, self._stream.given
        # Compare with the whole file: added bytes may come long before most of the packed bytes.
        if given > max(times * self._stream.read_in, _EXPANSION_FREE) or (
            given + self._added > max(times * self._packed_size, _EXPANSION_FREE)
        ):
            raise self._bad(f"it expands to more than {times} times its size (--max_expansion)")

    def _no_file(self) -> ReleaseError:
        if not self._outside:
            return self._bad("it holds no file")
        names = [repr(name) for name in self._outside]
        more = " and more" if len(names) > _SHOWN else ""
        return self._bad(
            f"it holds no file in the folder {self._top!r}, only {', '.join(names[:_SHOWN])}{more}",
            "give the folder's name as --unpacked_filename, or . if the files have none",
        )

    def _bad(self, cause: str, hint: str = "publish it again, packed anew") -> ReleaseError:
        return ReleaseError("unpack", self._path, cause, hint)


_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a pipe",
}
