"""A small disk that only some processes see, with the ways to break the disk.

The disk is a tmpfs in a mount namespace. A process that starts with ``prefix`` sees the
disk at ``folder``. The harness sees the disk at ``seen``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .namespace import Namespace

_FILLER = ".filler"


@contextlib.contextmanager
def _the_disk_may_be_full() -> Iterator[None]:
    """Do not fail if a running monitor has filled the disk first."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


class Disk:
    """A tmpfs at ``folder`` in ``namespace``; ``options`` are those of mount(8) for a tmpfs."""

    def __init__(self, namespace: Namespace, folder: Path, options: str = "size=16m") -> None:
        self.folder = folder
        self._namespace = namespace
        folder.mkdir(parents=True, exist_ok=True)
        namespace.mount("-t", "tmpfs", "-o", options, "none", str(folder))

    @property
    def prefix(self) -> list[str]:
        """What to put before a command so that it sees the disk."""
        return self._namespace.prefix

    @property
    def seen(self) -> Path:
        """The disk as this process reaches it."""
        return self._namespace.seen(self.folder)

    def fill(self, left: int = 0) -> None:
        """Take all bytes but ``left``, until ``clear``."""
        status = os.statvfs(self.seen)
        with _the_disk_may_be_full(), (self.seen / _FILLER).open("wb", buffering=0) as file:
            file.write(bytes(max(0, status.f_bavail * status.f_frsize - left)))

    def fill_with_files(self, left: int = 0) -> None:
        """Take all inodes but ``left``, until ``clear``."""
        filler = self.seen / _FILLER
        filler.mkdir()
        with _the_disk_may_be_full():
            for number in range(os.statvfs(filler).f_ffree - left):
                (filler / str(number)).touch()

    def clear(self) -> None:
        """End ``fill`` and ``fill_with_files``. Safe to repeat."""
        filler = self.seen / _FILLER
        if filler.is_dir():
            shutil.rmtree(filler)
        else:
            filler.unlink(missing_ok=True)

    def make_read_only(self, folder: str = ".") -> None:
        """Make a folder of the disk read-only; a relative path, ``.`` is the whole disk."""
        self._namespace.make_read_only(self._inside(folder))

    def make_writable(self, folder: str = ".") -> None:
        """End ``make_read_only``."""
        self._namespace.make_writable(self._inside(folder))

    def _inside(self, folder: str) -> Path:
        return Path(os.path.normpath(self.folder / folder))
