"""Work on files of this machine: remove, copy, free space, and what a failure says."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
from typing import Callable

from .errors import MachineError

# What must stay free for state, time file and the folders themselves.
RESERVE = 256 * 1024
_PIECE = 1024 * 1024
# sync_file_range(2): only Linux has it, and Python has no name for it.
_RANGE_WRITE = 2
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)


def remove(path: str) -> None:
    """Remove a file, a symbolic link or a whole folder, whatever its modes. Absence is fine."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    # A folder without write permission cannot be emptied by its owner either.
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(path)


def copy_file(source: str, target: str, alive: Callable[[], None]) -> None:
    """Copy the bytes of a file. ``alive`` is called for each piece of them."""
    with open(source, "rb") as file, open(target, "xb") as out:
        while True:
            alive()
            piece = file.read(_PIECE)
            if not piece:
                return
            out.write(piece)


def start_flush(handle: int, offset: int, count: int) -> None:
    """Ask the kernel to begin to write a part of a file to disk; do not wait for it.

    Only a hint: a failure shows in the ``fsync`` that has to follow.
    """
    if _sync_file_range is not None:
        _sync_file_range(handle, ctypes.c_int64(offset), ctypes.c_int64(count), _RANGE_WRITE)


def check_space(path: str, need: int, operation: str) -> None:
    """Raise ``MachineError`` if the filesystem of ``path`` has fewer than ``need`` bytes free."""
    seen = os.statvfs(path)
    free = seen.f_bavail * seen.f_frsize
    if free < need + RESERVE:
        raise MachineError(
            operation,
            path,
            f"{need} bytes are needed and {max(0, free)} are free",
            "free some space",
        )


def machine_error(operation: str, path: str, error: OSError, hint: str) -> MachineError:
    """Return the error for an ``OSError`` of this machine; for a full disk it says what is full.

    Call it before you remove anything, because that would make room.
    """
    there = path
    while there and not os.path.isdir(there):
        there = os.path.dirname(there)
    there = there or "."
    with contextlib.suppress(OSError):
        seen = os.statvfs(there)
        # A filesystem without a fixed number of inodes reports 0 of 0.
        if error.errno == errno.ENOSPC and seen.f_files and not seen.f_favail:
            return MachineError(
                operation,
                path,
                f"no inodes are left for files and folders ({seen.f_files} are in use)",
                f"see df -i {there} and remove files there",
            )
    return MachineError(operation, path, error, hint)
