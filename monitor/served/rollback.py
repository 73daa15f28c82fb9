"""Takes a bad release out of service: quarantines it, and swaps the last good release in.

The quarantine comes first. A kill after it leaves a bad release that is live and in quarantine, and
the next run goes on from there.
"""

from __future__ import annotations

import time
from typing import Optional

from ..decisions.identity import Identity
from ..decisions.moments import Moment
from ..errors import MachineError, ReleaseError
from ..live.kept import Kept, listed
from ..live.layout import Layout
from ..live.ownership import Ownership
from ..live.recovery import When, recover
from ..live.rollback import go_back
from ..live.state import Installed, read_installed, read_quarantine
from ..log import logger
from ..options.fields import Options
from ..release.model import linked
from ..watch.events import EventFile
from ..watch.refusals import Refusals


def is_condemned(layout: Layout) -> Optional[str]:
    """Return why the live release is in quarantine; None if it is not."""
    bad, live = read_quarantine(layout.quarantine), read_installed(layout.live).identity
    return bad.reason if bad is not None and bad.identity == live else None


def take_back(
    options: Options,
    identity: Identity,
    why: str,
    events: EventFile,
    last_served: Optional[Identity] = None,
) -> Optional[Installed]:
    """Put the live release into quarantine, and swap the last good release in.

    Args:
        options: The model's options.
        identity: The bad release.
        why: What is wrong with it.
        events: The event file.
        last_served: The release that was served last. If it is not kept, the newest kept release
            counts as good.

    Returns:
        What is live now. None if another release is live already, or no good release is kept.

    Raises:
        MachineError: This machine failed. Call it again later.
    """
    layout = Layout(options.live)
    ownership = Ownership(layout, break_lock=options.break_lock)
    with ownership.swapping():
        recover(layout, options.local_timestamp_file, until=When.POLL)
        before = read_installed(layout.live)
        if before.identity != identity:
            # A person or a newer release was faster.
            return None
        good = _last_good(layout, identity, last_served)
        if good is None:
            logger.error("%s is bad, and no good release is kept: %s", identity.label, why)
            return None
        if is_condemned(layout) is None:
            error = ReleaseError("serve", identity.label, why, "publish another release")
            refusals = Refusals(options, layout, time.time)
            refusals.add(identity, error, proven=True, tarball=before.tarball)
            events.write(
                Moment.QUARANTINED, identity, before.tarball, state="PROBATION", why=str(error)
            )

        def swapped(installed: Installed) -> None:
            more = {"second": installed.second, "replaced": identity.release}
            events.write(Moment.ROLLED_BACK, installed.identity, installed.tarball, **more)

        try:
            timestamp_file = options.local_timestamp_file
            after = go_back(layout, good, None, timestamp_file, time.time(), swapped=swapped)
        except OSError as error:
            raise MachineError("roll back", layout.live, error, "it is tried again") from error
    logger.error("%s is bad (%s): rolled back to %s", identity.label, why, after.label)
    return after


def _last_good(layout: Layout, bad: Identity, last_served: Optional[Identity]) -> Optional[Kept]:
    kept = [
        one
        for one in reversed(listed(layout))
        if not one.rolled_back and one.installed.identity not in (None, bad)
    ]
    # A newer release may have been replaced before the server loaded it.
    served = [one for one in kept if one.installed.identity == last_served]
    good = next(iter(served or kept), None)
    return None if good is None or linked(good.path) else good
