"""What processes take: memory, open files, threads and processor time, from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What some processes have now. Pages that several of them share count several times.

    ``cpu_s`` includes children that have ended. ``fds`` is None if this user may not see them.
    """

    # Resident memory.
    rss_bytes: int
    fds: Optional[int]
    # Threads.
    threads: int
    cpu_s: float


def usage(pids: Sequence[int]) -> Optional[Usage]:
    """Return the sum over these processes; None if all of them are gone."""
    found = [one for one in map(_of_process, pids) if one is not None]
    if not found:
        return None
    fds = [one.fds for one in found if one.fds is not None]
    return Usage(
        sum(one.rss_bytes for one in found),
        sum(fds) if len(fds) == len(found) else None,
        sum(one.threads for one in found),
        sum(one.cpu_s for one in found),
    )


def _of_process(pid: int) -> Optional[Usage]:
    folder = Path(f"/proc/{pid}")
    try:
        # From the field "state" on, which is field 3 of proc(5).
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie has no files, and only root may look.
    fds: Optional[int] = 0
    if stat[0] != "Z":
        try:
            fds = len(os.listdir(folder / "fd"))
        except PermissionError:
            fds = None
        except OSError:
            # It has ended meanwhile.
            return None
    cpu_s = sum(map(int, stat[11:15])) / _TICKS
    return Usage(int(stat[21]) * _PAGE, fds, int(stat[17]), cpu_s)
