"""Samples what the server's and the monitor's processes take, and writes it into the history.

A sample is the sum over a process and all that it started. A server may replace a worker process at
each reload, and a monitor may start a program for each poll. One thread reads ``/proc`` every
``EVERY_S`` seconds, so at least one sample lies between two reloads.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from harness.checker.history import History
from harness.support.errors import Failed

# Half of the shortest tick.
EVERY_S = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What some processes have now. Pages that several of them share count several times.

    ``cpu_s`` includes children that have ended. ``fds`` is None if this user may not see them.
    """

    rss_bytes: int
    fds: Optional[int]
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
    fds = None
    with contextlib.suppress(OSError):
        fds = len(os.listdir(folder / "fd"))
    cpu_s = sum(map(int, stat[11:15])) / _TICKS
    return Usage(int(stat[21]) * _PAGE, fds, int(stat[17]), cpu_s)


class Sampler:
    """Samples the parts of one remote's leg until ``stop``: an event ``resources`` each.

    Args:
        history: Receives the events.
        remote: The name of the leg's remote.
        parts: For each part the process ids of its tree, its first process first. A part
            without process ids is left out.
        bytes_sent: Gives the bytes that have left the remote so far, None if nothing counts them.
    """

    def __init__(
        self,
        history: History,
        remote: str,
        parts: Mapping[str, Callable[[], Sequence[int]]],
        bytes_sent: Callable[[], Optional[int]] = lambda: None,
    ) -> None:
        self._history = history
        self._remote = remote
        self._parts = parts
        self._bytes_sent = bytes_sent
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sample {remote}", daemon=True)

    def start(self) -> None:
        """Start to sample."""
        self._thread.start()

    def stop(self) -> None:
        """Sample a last time and end. Safe to repeat."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        # A full disk ends the run elsewhere. Without samples their claims are unknown.
        with contextlib.suppress(Failed):
            while not self._done.wait(EVERY_S):
                self._sample()
            self._sample()

    def _sample(self) -> None:
        for part, pids_of in self._parts.items():
            pids = pids_of()
            seen = usage(pids)
            if seen is None:
                continue
            fields = {name: value for name, value in vars(seen).items() if value is not None}
            sent = self._bytes_sent() if part == "monitor" else None
            if sent is not None:
                fields["bytes"] = sent
            self._history.record("resources", remote=self._remote, part=part, pid=pids[0], **fields)
