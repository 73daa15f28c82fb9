"""Watches a live directory, two logs and our monitor's events; writes them into the history.

Works with any monitor and any server. A swap shows in the live directory (which model files it
holds), a pull in the monitor's INFO messages, and a reload in ``serving.INFO``. One thread looks
every ``LOOK_S`` seconds. An event's time is the time of the look.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from harness.checker.history import History
from harness.checker.leg_history import RELOAD_BEGIN
from harness.support.errors import Failed
from harness.support.live_directory import Digests, look_once
from harness.support.repeater import Repeater

LOOK_S = 0.01
# After this many looks in a row (0.2 s) without live directory or time file, no swap is under way.
GAP_LOOKS = 20
# What the history keeps of an event of the monitor, beside its name and time.
_TOLD = ("release", "sha256", "why")
# A monitor can make a live directory that cannot be opened; the open then gives one of these.
_NO_MODEL = (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.ENAMETOOLONG)
# The lines of a reload in serving.INFO (docs/serving.md). "Succ reload version engine" is not among
# them, because the server also writes it at an idle tick.
_SERVER_LINES = (RELOAD_BEGIN, "switching to current_idx[", "Finish reload")


class Tail:
    """The lines that were added to a text file since the last look; the file may not be there."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""
        self._file: Optional[tuple[int, int]] = None
        if from_end:
            for _ in self.new_lines():
                # What was there before is not this run's.
                continue

    def new_lines(self) -> Iterator[str]:
        try:
            with self.path.open("rb") as file:
                now = os.fstat(file.fileno())
                # serving.INFO is a link, and points at another file after a restart.
                if (now.st_dev, now.st_ino) != self._file or now.st_size < self._offset:
                    self._file, self._offset, self._rest = (now.st_dev, now.st_ino), 0, b""
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


class Observer:
    """Watches one remote's leg of a run until ``stop``.

    Records these events:

    - ``monitor_log``: every line
    - ``monitor_event``: every line of our monitor's ``--event_file``, at the time in the line
    - ``server_log``: the lines of a reload, and every error
    - ``swapped``: ``digest`` of the model files, ``second`` of the time file. A state without a
      live directory or time file is recorded after ``GAP_LOOKS`` looks, and only after the first
      release

    With ``server_runs`` the server's log may have lines of an earlier time, which do not count.
    """

    def __init__(
        self,
        history: History,
        remote: str,
        *,
        live_dir: Path,
        monitor_log: Path,
        monitor_events: Path,
        server_log: Path,
        server_runs: bool = False,
    ) -> None:
        self._history = history
        self._remote = remote
        self._live_dir = live_dir
        self._monitor = Tail(monitor_log)
        self._monitor_events = Tail(monitor_events)
        self._server = Tail(server_log, from_end=server_runs)
        self._seen: Optional[tuple[str, int]] = None
        # The looks in a row that found no live directory or no time file.
        self._gaps = 0
        self._digests = Digests()
        self._reloading = False
        self._looks = Repeater(self._look_or_say_why_not, LOOK_S, f"observe {remote}")

    def start(self) -> None:
        """Start to watch."""
        self._looks.start()

    def check(self) -> None:
        """Raise ``Failed`` if the observer ended by itself: such a run must not pass."""
        error = self._looks.error
        if error is not None:
            why = f"{type(error).__name__}: {error}"
            raise Failed(f"the observer of {self._remote} failed: {why}") from error

    def stop(self) -> None:
        """Look a last time and end. Raise ``Failed`` if the observer ended before."""
        self._looks.stop()
        self.check()

    def _look_or_say_why_not(self) -> None:
        try:
            self.look()
        except BaseException as error:
            with contextlib.suppress(Failed):
                why = f"{type(error).__name__}: {error}"
                self._history.record("observer_ended", remote=self._remote, why=why)
            raise

    def look(self) -> None:
        """Look once at everything. After ``start`` a thread does this."""
        # The log first, so that the history has a pull before its swap.
        for line in self._monitor.new_lines():
            self._history.record("monitor_log", remote=self._remote, line=line)
        for line in self._monitor_events.new_lines():
            self._monitor_event(line)
        self._look_at_live_directory()
        for line in self._server.new_lines():
            self._server_line(line)

    def _monitor_event(self, line: str) -> None:
        try:
            event = json.loads(line)
            t, what = float(event["monotonic"]), str(event["event"])
        except (ValueError, KeyError, TypeError):
            return  # a full disk cut the line
        told = {name: event[name] for name in _TOLD if event.get(name) is not None}
        self._history.record("monitor_event", t=t, remote=self._remote, what=what, **told)

    def _server_line(self, line: str) -> None:
        if RELOAD_BEGIN in line:
            self._reloading = True
        wanted = line.startswith("E") or (self._reloading and any(x in line for x in _SERVER_LINES))
        if "Finish reload" in line:
            self._reloading = False
        if wanted:
            self._history.record("server_log", remote=self._remote, line=line)

    def _look_at_live_directory(self) -> None:
        try:
            content = look_once(self._live_dir, digests=self._digests)
        except OSError as error:
            if error.errno not in _NO_MODEL:
                raise
            found = (f"unreadable: {error.strerror}", 0)
        else:
            if content is not None and content.second is not None:
                self._gaps = 0
                found = (content.digest, content.second)
            else:
                self._gaps += 1
                if self._seen is None or self._gaps < GAP_LOOKS:
                    return  # a swap may be under way
                found = ("absent" if content is None else content.digest, 0)
        if found != self._seen:
            self._seen = found
            digest, second = found
            self._history.record("swapped", remote=self._remote, digest=digest, second=second)
