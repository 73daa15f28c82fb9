"""Waits with a deadline that say what they waited for, and what they last saw.

    seen = wait_for(lambda: page(url), "the first page", deadline_s=20, alive=server.check)

``check`` returns a true value when the condition holds, anything false when it does not yet.
Exceptions named in ``retry_on`` count as "not yet" and are reported as the last thing seen.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, Optional, TypeVar

from .errors import Failed

T = TypeVar("T")


def wait_for(
    check: Callable[[], T],
    what: str,
    deadline_s: float,
    *,
    every_s: float = 0.05,
    retry_on: tuple[type[BaseException], ...] = (),
    alive: Optional[Callable[[], None]] = None,
    last_seen: Optional[Callable[[], object]] = None,
    log: Optional[Path] = None,
    hint: str = "",
) -> T:
    """Return the first true value of ``check()``.

    Args:
        check: Asks whether the condition holds.
        what: What the caller waits for, in words for the error.
        deadline_s: How long to wait, in seconds.
        every_s: The time between two checks, in seconds.
        retry_on: Exceptions of ``check`` that mean "not yet".
        alive: Called before each try. It raises ``Failed`` when waiting is pointless, for example
            because the process is gone. One more try follows.
        last_seen: Gives what to quote when time runs out (default: the last value or exception).
        log: A file whose last lines are quoted.
        hint: What to do after a time-out; it ends the error's first line.

    Raises:
        Failed: After ``deadline_s`` seconds.
    """
    start = time.monotonic()
    seen: object = "nothing yet"
    while True:
        # Before the check: what ended may have done its work just before.
        gone = _gone(alive)
        try:
            value = check()
            if value:
                return value
            seen = value
        except retry_on as error:
            seen = f"{type(error).__name__}: {error}"
        if gone is not None:
            raise gone
        waited = time.monotonic() - start
        if waited >= deadline_s:
            break
        time.sleep(min(every_s, max(0.0, deadline_s - waited)))
    if last_seen is not None:
        seen = last_seen()
    text = f"waited {deadline_s:g} s for {what}; last seen: {seen}"
    if hint:
        text += f"; {hint}"
    if log is not None:
        text += f"\n--- last lines of {log}\n{tail(log)}"
    raise Failed(text)


def _gone(alive: Optional[Callable[[], None]]) -> Optional[Failed]:
    try:
        if alive is not None:
            alive()
    except Failed as error:
        return error
    return None


def tail(path: Path, lines: int = 15) -> str:
    """The last ``lines`` lines of a text file, or why there are none."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"(no log: {error.strerror})"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"
