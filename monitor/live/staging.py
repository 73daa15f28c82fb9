"""Completes a staged folder, so that it can become the live directory.

It gets state and time file, owner and mode, and is brought to disk.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from typing import Callable, Optional

from ..decisions.schedule import next_second
from .layout import STATE
from .state import Installed, read_installed, write_installed


def time_second(live: str, timestamp_file: str) -> Optional[int]:
    """Return the whole second that a server now sees on the time file; None if there is none."""
    try:
        return int(os.stat(os.path.join(live, timestamp_file)).st_mtime)
    except OSError:
        return None


def choose_second(
    live: str, timestamp_file: str, now: float, remembered: Optional[int] = None
) -> int:
    """Return the whole second for the next swap (see ``schedule.next_second``).

    Args:
        live: The live directory, which names the last second.
        timestamp_file: The time file's name.
        now: The present time, in seconds since the epoch.
        remembered: The last second that this process used; for a live directory that was deleted.
    """
    used = [one for one in (read_installed(live).second, remembered) if one is not None]
    return next_second(now, max(used, default=None), time_second(live, timestamp_file))


def dress(paths: Iterable[str], live: str) -> None:
    """Give files and folders the ownership, mode and labels of the directory they will replace.

    Files get the directory's mode without the execute bits. If there is no live directory, the
    umask of the process decides.
    """
    like: Optional[os.stat_result] = None
    with contextlib.suppress(FileNotFoundError):
        like = os.stat(live)
    mode = 0o777 & ~_umask() if like is None else stat.S_IMODE(like.st_mode)
    for path in paths:
        seen = os.stat(path)
        if like is not None and (like.st_uid, like.st_gid) != (seen.st_uid, seen.st_gid):
            os.chown(path, like.st_uid, like.st_gid)
        os.chmod(path, mode if stat.S_ISDIR(seen.st_mode) else mode & 0o666)
        if like is not None:
            _copy_labels(live, path)


def complete(staging: str, live: str, alive: Callable[[], None] = lambda: None) -> None:
    """Bring all that is in ``staging`` to disk, with the ownership, mode and labels of ``live``.

    The staging folder itself is left out, because the swap still writes into it.
    """
    inside = tree(staging)[:-1]
    dress(inside, live)
    flush(inside, alive)


def stamp(staging: str, timestamp_file: str, installed: Installed) -> list[str]:
    """Put state and time file into a staged tree, the time file at ``installed.second``.

    Returns:
        The paths that changed: both files and the folder.
    """
    assert installed.second is not None
    path = os.path.join(staging, timestamp_file)
    write_installed(staging, installed)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "xb"):
        pass
    os.utime(path, (installed.second, installed.second))
    return [os.path.join(staging, STATE), path, staging]


def flush(paths: Iterable[str], alive: Callable[[], None] = lambda: None) -> None:
    """Bring files and folders to disk."""
    for path in paths:
        alive()
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def step_past_touch(new: str, old: str, timestamp_file: str) -> Optional[int]:
    """Move the second of ``new`` on if the launcher touched the time file of ``old`` meanwhile.

    The server would have seen that second already, and would not load the new release.

    Returns:
        The new second; None if there was no touch.
    """
    path = os.path.join(new, timestamp_file)
    before, now = time_second(old, timestamp_file), time_second(new, timestamp_file)
    if before is None or now is None or before < now:
        return None
    os.utime(path, (before + 1, before + 1))
    return before + 1


def tree(top: str) -> list[str]:
    """Return every file and folder of a tree, each after what is inside it, ``top`` last."""
    found = []
    for folder, _, files in os.walk(top, topdown=False):
        found += [os.path.join(folder, name) for name in files]
        found.append(folder)
    return [path for path in found if not os.path.islink(path)]


def _umask() -> int:
    # umask(2) changes the umask, for other threads, too. /proc only shows it.
    with contextlib.suppress(OSError, ValueError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _copy_labels(source: str, target: str) -> None:
    """Copy extended attributes such as SELinux labels, as far as this user may set them."""
    with contextlib.suppress(OSError):
        for name in os.listxattr(source):
            if name.startswith(("security.selinux", "user.", "security.SMACK")):
                with contextlib.suppress(OSError):
                    os.setxattr(target, name, os.getxattr(source, name))
