"""Reads what a live directory holds at one moment.

A look opens the directory once and reads all files through that descriptor. So it does not mistake
a directory that is exchanged meanwhile for a mixture. If the path leads to another directory
afterwards, the look is repeated. While the descriptor is open, its inode cannot be given to another
directory, so the comparison is sound. If the directory stayed in place, the server could have
loaded what the look found.

A file is read again only if its status differs from the last look's, or if it is very young. The
clock of files moves in steps of some milliseconds, so a later change could have the same times.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

# The time file of upstream's hot-loading page.
TIME_FILE = "fluid_time_file"
_UNDECIDED_RETRIES = 1000
# Twenty-five steps of the coarsest clock that Linux gives files (100 Hz would be 10 ms).
_SETTLED_NS = 250_000_000
# Each level of a look has a descriptor open. No release comes near it.
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Content:
    """What the live directory held in one look.

    Attributes:
        files: Relative path → sha256, without the time file. Hidden files belong to the monitor,
            and count only if a release has them.
        second: The time file's mtime in whole seconds, as the server reads it; None without one.
    """

    files: Mapping[str, str]
    second: Optional[int]

    @property
    def digest(self) -> str:
        """SHA-256 over the names and digests of the files: the same files give the same digest."""
        lines = (f"{name}\0{digest}\0" for name, digest in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class Digests:
    """Digests of files that have been read, by the status they had."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def of(self, handle: int, status: os.stat_result) -> str:
        """The digest of an open regular file."""
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found = self._known.get(key)
        if found is None:
            settled = time.time_ns() - status.st_ctime_ns > _SETTLED_NS
            digest = hashlib.sha256()
            while chunk := os.read(handle, 1 << 20):
                digest.update(chunk)
            found = digest.hexdigest()
            if settled:
                self._known[key] = found
        return found


def look_once(
    live: Path,
    hidden: frozenset[str] = frozenset(),
    digests: Optional[Digests] = None,
) -> Optional[Content]:
    """The content of ``live`` at one moment; None when there is no such directory.

    ``hidden`` names the dotfiles that belong to a release and count; ``digests`` are those of
    earlier looks.
    """
    digests = Digests() if digests is None else digests
    for _ in range(_UNDECIDED_RETRIES):
        try:
            folder = os.open(live, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            files: dict[str, str] = {}
            second: Optional[int] = None
            # Before the files, so that a look sees a mixture only after it has seen the second.
            with contextlib.suppress(OSError):
                second = int(os.stat(TIME_FILE, dir_fd=folder).st_mtime)
            _read_folder(folder, "", files, hidden, digests)
            files.pop(TIME_FILE, None)
            before = os.fstat(folder)
            try:
                after = os.stat(live)
            except FileNotFoundError:
                return None
            if (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino):
                return Content(files, second)
        finally:
            os.close(folder)
    raise RuntimeError(f"{live} was exchanged during each of {_UNDECIDED_RETRIES} looks")


def _read_folder(
    folder: int, prefix: str, files: dict[str, str], hidden: frozenset[str], digests: Digests
) -> None:
    for name in os.listdir(folder):
        path = prefix + name
        # ._NAME counts: a server may take what macOS puts there for the model.
        if name.startswith(".") and not name.startswith("._") and path not in hidden:
            continue
        try:
            # Not following a link: a link in a release would be a finding of its own.
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except FileNotFoundError:
            continue  # unlinked since the listing: it is not there
        except OSError as error:
            files[path] = f"unreadable: {error.strerror}"
            continue
        try:
            status = os.fstat(handle)
            mode = status.st_mode
            if stat.S_ISDIR(mode) and path.count("/") >= _MAX_DEPTH:
                files[path] = f"a folder below {_MAX_DEPTH} others"
            elif stat.S_ISDIR(mode):
                _read_folder(handle, path + "/", files, hidden, digests)
            elif stat.S_ISREG(mode):
                files[path] = digests.of(handle, status)
            else:
                files[path] = f"special file, mode {mode:o}"
        finally:
            os.close(handle)
