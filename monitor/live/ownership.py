"""Who may change a live directory: one monitor, and for a swap one process."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from typing import Optional

from ..disk import machine_error
from ..errors import BadOption, MachineError, Taken
from ..log import logger
from .layout import Layout
from .lock import Lock

# ``status`` may hold the lock this long while it asks who has it, in seconds.
_LOCK_S = 0.3
# A swap on another host takes less, unless it copies a model into a mount. In seconds.
_FOREIGN_SWAP_S = 60.0


class Ownership:
    """The locks of one live directory."""

    def __init__(self, layout: Layout, *, break_lock: bool = False) -> None:
        """Take no lock yet. ``break_lock`` is ``break_foreign`` of ``Lock.take``."""
        self._layout = layout
        self._break_lock = break_lock
        self._said_no_locks = False
        self._lock: Optional[Lock] = None

    def prepare(self) -> None:
        """Make the monitor's own folder. Raise ``BadOption`` if that is impossible."""
        control = self._layout.control
        try:
            os.makedirs(control, exist_ok=True)
        except OSError as error:
            wrong = machine_error("make", control, error, "let this user write in --local_path")
            raise BadOption(str(wrong)) from None

    def lock(self) -> None:
        """Take the lock against a second monitor. Raise ``BadOption`` if there is one."""
        self.prepare()
        path = self._layout.lock
        lock = Lock(path, self._say_no_locks)
        try:
            lock.take(_LOCK_S, _LOCK_S, break_foreign=self._break_lock)
        except Taken as taken:
            more = "; if it has ended, start with --break_lock" if taken.broken_if_asked else ""
            raise BadOption(
                f"another monitor ({taken}) already watches {self._layout.live}; "
                f"end that one first{more}"
            ) from None
        except OSError as error:
            wrong = machine_error("lock", path, error, "check its permissions and its filesystem")
            raise BadOption(str(wrong)) from None
        self._lock = lock

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def unlock(self) -> None:
        """Release the lock. Safe to repeat."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextlib.contextmanager
    def swapping(self) -> Iterator[None]:
        """Keep a rollback and a swap apart: wait for the other one.

        Raises:
            MachineError: This host cannot tell whether the other one still runs.
        """
        path = self._layout.swap_lock
        lock = Lock(path, self._say_no_locks)
        try:
            lock.take(math.inf, _FOREIGN_SWAP_S, break_foreign=self._break_lock)
        except Taken as taken:
            raise MachineError(
                "lock", path, f"{taken} has it", "if it has ended, use --break_lock"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _say_no_locks(self, error: OSError) -> None:
        if not self._said_no_locks:
            self._said_no_locks = True
            logger.warning(
                "the filesystem of %s has no locks (%s): a file that names the owner replaces them",
                self._layout.control,
                error.strerror,
            )
