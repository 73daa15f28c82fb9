"""One run at a time for what several runs share in the cache."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

from ..errors import BadInput, Failed
from ..waits import wait_for

_WEEK_S = 7 * 86_400.0


@contextlib.contextmanager
def one_at_a_time(
    path: Path, what: str, say: Callable[[str], None], deadline_s: Optional[float] = None
) -> Iterator[None]:
    """Holds the lock ``path``; says so once when another run has it, and waits for that run.

    Raises ``BadInput`` when the other run has not let go after ``deadline_s`` seconds.
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
