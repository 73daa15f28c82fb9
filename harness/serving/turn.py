"""Lets one run at a time use a part of the cache that several runs share."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from harness.support.errors import BadInput, Failed
from harness.support.waits import wait_for

_WEEK_S = 7 * 86_400.0


@contextlib.contextmanager
def one_at_a_time(
    path: Path, what: str, say: Callable[[str], None], deadline_s: Optional[float] = None
) -> Iterator[None]:
    """Hold the lock ``path``; if another run has it, say so once and wait.

    Args:
        path: The lock file.
        what: The work under the lock, as a noun.
        say: Called with one line before a wait.
        deadline_s: How long to wait, in seconds; default a week.

    Raises:
        BadInput: The other run still has the lock after ``deadline_s``.
    """
    with path.open("a") as lock:

        def locked() -> bool:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            return False

        if not locked():
            say(f"another run is busy with {what}; waiting for it")
            try:
                wait_for(locked, f"another run to end {what}", deadline_s or _WEEK_S)
            except Failed as error:
                raise BadInput(f"{error}; end that run (it holds {path}), then try again") from None
        yield
