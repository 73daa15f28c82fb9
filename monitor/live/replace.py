"""The swap: a staging folder becomes the live directory, for a new release and for a rollback.

Normally this is one exchange. ``fallback`` has the three cases in which there is none.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Callable, Optional

from ..log import logger
from . import fallback
from .exchange import exchange, rename_new
from .kept import put_away
from .layout import Layout
from .staging import choose_second, dress, flush, stamp, step_past_touch
from .state import Installed, flush_folder


def replace_live(
    layout: Layout,
    staging: str,
    installed: Installed,
    timestamp_file: str,
    *,
    keep: int,
    last_second: Optional[int] = None,
    rolled_back: bool = False,
    alive: Callable[[], None] = lambda: None,
    swapped: Callable[[Installed], None] = lambda _: None,
) -> Installed:
    """Make a complete staging folder the live directory. Needs the lock for a swap.

    A failure after the swap is only logged.

    Args:
        layout: The live directory's paths.
        staging: The staging folder, on disk (``staging.complete``).
        installed: What the state file will say. ``swapped`` is the present time. ``second`` is
            chosen here.
        timestamp_file: The time file's name.
        keep: How many old releases are kept.
        last_second: The last second that this process used for a time file.
        rolled_back: Whether the replaced release goes out of service by a rollback.
        alive: Called for each piece of long work. It may raise.
        swapped: Called once the release is live, before the old one is put away. May not raise.

    Returns:
        ``installed`` with the time file's second.

    Raises:
        OSError: There was no swap. The live directory is what it was, or its state says that it
            is no release.
    """
    now = installed.swapped
    assert now is not None
    second = choose_second(layout.live, timestamp_file, now, last_second)
    installed = replace(installed, second=second, staging=os.path.basename(staging))
    added = stamp(staging, timestamp_file, installed)
    dress(added, layout.live)
    flush(added)
    old = swap(staging, layout.live, timestamp_file, alive=alive)
    swapped(installed)
    try:
        put_away(layout, old, keep, rolled_back=rolled_back)
    except OSError as error:
        # The next start removes or keeps the rest.
        logger.warning("cannot put away %s: %s", old, error.strerror)
    return installed


def swap(
    staging: str, live: str, timestamp_file: str, *, alive: Callable[[], None] = lambda: None
) -> Optional[str]:
    """Let ``staging``, which has its state and its time file, take the place of ``live``.

    Returns:
        The path of the old release; None if there was none, or if it was replaced file by file.

    Raises:
        OSError: As for ``replace_live``.
    """
    try:
        os.lstat(live)
    except FileNotFoundError:
        rename_new(staging, live)
        _finish(live, None, timestamp_file)
        return None
    try:
        exchange(staging, live)
    except OSError as error:
        old = fallback.swap(staging, live, timestamp_file, error, alive)
    else:
        old = staging
    _finish(live, old, timestamp_file)
    return old


def _finish(live: str, old: Optional[str], timestamp_file: str) -> None:
    try:
        if old is not None:
            step_past_touch(live, old, timestamp_file)
        flush_folder(os.path.dirname(live) or ".")
    except OSError as error:
        # The release is live: the caller must not take the swap for failed.
        logger.warning("%s is swapped, but not all was done after it: %s", live, error)
