"""When the model is loaded again: the rules of ``timestamp_ne``, and the thread that follows them.

Every ``interval_s`` the time file's mtime is read, in whole seconds. The rules, measured on the
real server::

    seen now            last seen   what is done                      last seen then
    no such file        any         Failed stat; the old one serves   unchanged
    the same second     the same    nothing                           unchanged
    another second      any         remembered first, then reloaded   the new second

"Another" is inequality: an older time file reloads too. A failed reload is not tried again before
the second changes once more, because the second was remembered before.

Unlike the real server, the engine tries again at the next look if a file changed during the load
(``NotNow``). The new model may be a good one.
"""

from __future__ import annotations

import enum
import os
import threading
from typing import Callable, NamedTuple, Optional

from ._glog import Log

# What the real server prints for a version it does not have, (uint64)-1.
NO_VERSION = 18446744073709551615


class Tick(enum.Enum):
    """What one look at the time file leads to."""

    STAT_FAILED = "the time file cannot be read"
    IDLE = "nothing has changed"
    RELOAD = "the time file carries another second"


class NotNow(Exception):
    """The load failed, and was logged, for a reason that passes. It has to be tried again."""


class Decision(NamedTuple):
    """What a tick does, and the last second that the engine has seen after the tick."""

    tick: Tick
    last_seen: Optional[int]


def decide(seen: Optional[int], last_seen: Optional[int]) -> Decision:
    """Decide by the table above. ``seen`` is None when the file cannot be read."""
    if seen is None:
        return Decision(Tick.STAT_FAILED, last_seen)
    if seen == last_seen:
        return Decision(Tick.IDLE, last_seen)
    return Decision(Tick.RELOAD, seen)


def look(time_file: str) -> Optional[int]:
    """Return the time file's mtime in whole seconds, or None when it cannot be read."""
    try:
        # The float ``st_mtime`` would round the last 120 ns of a second up to the next second.
        return os.stat(time_file).st_mtime_ns // 10**9
    except OSError:
        return None


class ReloadThread(threading.Thread):
    """The reload worker.

    Args:
        log: The log.
        time_file: The path of the time file.
        interval_s: Seconds between two looks.
        last_seen: The second that the first load has consumed.
        load: Loads and swaps. It returns false after a failure, which it has logged. It raises
            ``NotNow`` if it has to be called again at the next look.
        needed: Whether there is no model to serve. ``load`` is then called without a new second.
    """

    def __init__(
        self,
        log: Log,
        time_file: str,
        interval_s: int,
        last_seen: Optional[int],
        load: Callable[[], bool],
        *,
        needed: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(name="reload", daemon=True)
        self._log = log
        self._time_file = time_file
        self._interval_s = max(interval_s, 0.05)
        self._last_seen = last_seen
        self._load = load
        self._needed = needed
        self._stopping = False
        self._sleep = threading.Event()

    def run(self) -> None:
        while not self._stopping:
            self._sleep.wait(self._interval_s)
            self._sleep.clear()
            if self._stopping:
                return
            try:
                self.tick()
            except Exception as error:
                # Without this thread there would be no further reload, and no log line about that.
                self._log.error_line("server.cpp:157", f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        """End the thread after its present sleep, as the real server does."""
        self._stopping = True

    def hurry(self) -> None:
        """Look as soon as this thread is free; ``needed`` has to be true before."""
        self._sleep.set()

    def _loaded(self, before: Optional[int]) -> bool:
        try:
            return self._load()
        except NotNow:
            self._last_seen = before
            return False

    def tick(self) -> None:
        """One turn: look, decide, load."""
        log = self._log
        log.info_line("server.cpp:155", "Begin reload framework...")
        before = self._last_seen
        tick, self._last_seen = decide(look(self._time_file), before)
        if self._needed():
            tick = Tick.RELOAD
        if tick is Tick.STAT_FAILED:
            log.error_line("infer.cpp:166", f"Failed stat config file:{self._time_file}")
        elif tick is Tick.RELOAD and not self._loaded(before):
            log.error_line("infer.cpp:283", f"Failed reload version engine: {NO_VERSION}")
            log.error_line("server.cpp:157", "Failed reload resource!")
            return
        log.warning_line("infer.cpp:286", f"Succ reload version engine: {NO_VERSION}")
        log.info_line("manager.h:131", "Finish reload 1 workflow(s)")
