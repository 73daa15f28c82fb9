"""Brings a kept release back, for the commands and for ``--on_bad_release``."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Callable, Optional

from ..decisions.identity import Identity
from ..disk import remove
from ..log import logger
from .kept import Kept, listed
from .layout import ROLLBACK, Layout
from .replace import replace_live
from .staging import complete
from .state import Hold, Installed, read_announced, read_hold, read_trust, write_hold


def choose(kept: list[Kept], release: Optional[int]) -> Optional[Kept]:
    """Return the kept release to go back to; the newest one unless ``release`` is given."""
    for one in reversed(kept):
        identity = one.installed.identity
        if release is None and not one.rolled_back:
            return one
        if release is not None and identity is not None and identity.release == release:
            return one
    return None


def what_to_hold(layout: Layout, before: Installed) -> Optional[Hold]:
    """Return what a rollback holds back: the release that the donefile announces.

    It may be installed, being pulled, or waiting for its turn.

    Args:
        layout: The live directory's paths.
        before: The installed release.
    """
    earlier = read_hold(layout.hold)
    seen = read_announced(layout.announced) or (earlier and earlier.identity)
    held = seen or before.identity
    if held is None:
        return None
    tarball = None
    if held in (before.identity, _last_announced(layout, before.identity)):
        tarball = before.tarball
    elif earlier is not None and earlier.identity == held:
        tarball = earlier.tarball
    return Hold(held, before.identity, tarball)


def go_back(
    layout: Layout,
    chosen: Kept,
    hold: Optional[Hold],
    timestamp_file: str,
    now: float,
    *,
    swapped: Callable[[Installed], None] = lambda _: None,
) -> Installed:
    """Make a kept release the live directory. Needs the lock for a swap.

    Args:
        layout: The live directory's paths.
        chosen: The kept release.
        hold: What is held back from now on; None to leave the hold as it is.
        timestamp_file: The time file's name.
        now: The present time, in seconds since the epoch.
        swapped: Called once the release is live. May not raise.

    Returns:
        What the live directory holds now.

    Raises:
        OSError: Nothing has changed.
    """
    earlier = read_hold(layout.hold)
    staging = ""
    try:
        if hold is not None:
            # Write the hold first: after a kill here, only pulls have stopped.
            write_hold(layout.hold, hold)
        staging = layout.staging(ROLLBACK)
        count = len(listed(layout))
        os.rename(chosen.path, staging)
        complete(staging, layout.live)
        return replace_live(
            layout,
            staging,
            replace(chosen.installed, swapped=now, brought_back=True),
            timestamp_file,
            keep=max(1, count),
            rolled_back=True,
            swapped=swapped,
        )
    except OSError:
        _undo(layout, chosen, staging, hold, earlier)
        raise


def _last_announced(layout: Layout, live: Optional[Identity]) -> Optional[Identity]:
    return read_trust(layout.validators).last_announced(live)


def _undo(
    layout: Layout, chosen: Kept, staging: str, hold: Optional[Hold], earlier: Optional[Hold]
) -> None:
    """Keep the release again after a rollback that failed, and restore the earlier hold."""
    try:
        if staging and os.path.lexists(staging) and not os.path.lexists(chosen.path):
            os.rename(staging, chosen.path)
        if hold is None or not os.path.lexists(chosen.path):
            return
        if earlier is None:
            remove(layout.hold)
        else:
            write_hold(layout.hold, earlier)
    except OSError as error:
        logger.error("cannot undo the rollback: %s; %s is kept", error, staging)
