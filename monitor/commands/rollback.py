"""``rollback``: swap in a kept release, and hold the announced one back."""

from __future__ import annotations

import argparse
import time

from ..decisions.moments import Moment
from ..decisions.orders import Orders
from ..disk import machine_error
from ..errors import BadOption
from ..live.kept import Kept, listed
from ..live.layout import Layout
from ..live.ownership import Ownership
from ..live.recovery import When, recover
from ..live.rollback import choose, go_back, what_to_hold
from ..live.state import Installed, orders_to_change, read_installed
from ..release.model import linked
from ..watch.events import EventFile
from .command import Command


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that may swap a kept release in."""
    parser.add_argument(
        "--break_lock", action="store_true", help="take over the lock of a host that is gone"
    )
    parser.add_argument("--event_file", default="", help="append a line for the swap to this file")


def present_orders(layout: Layout) -> Orders:
    """Return the orders. Raise ``MachineError`` if they cannot be read."""
    try:
        return orders_to_change(layout.orders)
    except OSError as error:
        raise machine_error("read", layout.orders, error, "check its permissions") from error


def refuse_links(chosen: Kept) -> None:
    """Raise ``BadOption`` for a kept release that no server can load."""
    links = linked(chosen.path)
    if links:
        raise BadOption(
            f"{chosen.installed.label} as kept in {chosen.path} has a symbolic link for "
            f"{links[0]}, which a server does not load; replace it by the file itself, or "
            "choose another release with --to"
        )


def swap_in(
    layout: Layout, given: argparse.Namespace, chosen: Kept, *, holding: bool, events: EventFile
) -> Installed:
    """Make a kept release live. Needs the lock for a swap.

    Args:
        layout: The live directory's paths.
        given: The command line.
        chosen: The kept release.
        holding: Whether the announced release is held back.
        events: The event file.

    Returns:
        What the live directory held before.

    Raises:
        MachineError: Nothing has changed.
    """
    before = read_installed(layout.live)

    def swapped(installed: Installed) -> None:
        replaced = before.identity.release if before.identity else None
        more = {"second": installed.second, "replaced": replaced}
        events.write(Moment.ROLLED_BACK, installed.identity, installed.tarball, **more)

    hold = what_to_hold(layout, before) if holding else None
    timestamp_file = given.local_timestamp_file
    try:
        after = go_back(layout, chosen, hold, timestamp_file, time.time(), swapped=swapped)
    except OSError as error:
        raise machine_error("roll back", layout.live, error, "mend that and try again") from error
    print(f"{layout.live} is {after.label} again, in place of {before.label}.")
    if hold is not None:
        print(f"{hold.identity.label}, as announced, is held back until the donefile changes.")
    elif holding:
        print("Nothing is held back, because no monitor has seen yet what the donefile announces.")
    return before


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", type=int, metavar="RELEASE", help="number of the kept release (default: the newest)"
    )
    add_options(parser)


def _run(layout: Layout, given: argparse.Namespace) -> int:
    events = EventFile(given.event_file, given.local_model_name)
    events.check()
    ownership = Ownership(layout, break_lock=given.break_lock)
    ownership.prepare()
    with ownership.swapping():
        # Mend what a killed command left.
        recover(layout, given.local_timestamp_file, until=When.POLL)
        chosen = choose(listed(layout), given.to)
        if chosen is None:
            wanted = f"release {given.to}" if given.to is not None else "an old release"
            raise BadOption(
                f"{wanted} is not kept beside {layout.live}; run the monitor with --keep N"
            )
        pin = present_orders(layout).pin
        identity = chosen.installed.identity
        if pin is not None and (identity is None or identity.release != pin.release):
            raise BadOption(
                f"{pin} is pinned, and {chosen.installed.label} is another one; type "
                "`python -m monitor unpin …` first"
            )
        refuse_links(chosen)
        swap_in(layout, given, chosen, holding=True, events=events)
    return 0


ROLLBACK = Command(
    "Swap in a kept release, and hold the announced one back until the donefile changes.",
    _run,
    _add_options,
)
