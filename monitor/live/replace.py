"""The swap: the staged folder becomes the live directory in one step.

Normally this is an exchange. ``fallback`` has the three cases in which there is none.
"""

from __future__ import annotations

import os
from typing import Callable, Optional

from ..log import logger
from . import fallback
from .exchange import exchange, rename_new
from .staging import step_past_touch
from .state import flush_folder


def swap(
    staging: str, live: str, timestamp_file: str, *, alive: Callable[[], None] = lambda: None
) -> Optional[str]:
    """Makes ``staging`` the live directory.

    Gives the path under which the old one lies now, None when there was none (or when it was
    replaced file by file). Raises ``OSError``; the live directory is then what it was, or says
    that it is no release. What fails after the swap is only logged.
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
    """What is left when the new release is live; whoever swapped must not take it for failed."""
    try:
        if old is not None:
            step_past_touch(live, old, timestamp_file)
        flush_folder(os.path.dirname(live) or ".")
    except OSError as error:
        logger.warning("%s is swapped, but not all was done after it: %s", live, error)
