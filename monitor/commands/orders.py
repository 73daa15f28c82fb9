"""``hold``, ``resume``, ``pin`` and ``unpin``: what the monitor may install."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..decisions.orders import OnHold, Orders, Pin, moment
from ..disk import machine_error
from ..errors import BadOption
from ..live.kept import listed
from ..live.layout import Layout
from ..live.ownership import Ownership
from ..live.recovery import When, recover
from ..live.rollback import choose
from ..live.state import read_installed, write_orders
from ..options import values
from ..watch.events import EventFile
from . import rollback
from .command import Command


@contextmanager
def _changing(layout: Layout, given: argparse.Namespace) -> Iterator[Orders]:
    """Keep swaps and other commands out, and give the present orders."""
    ownership = Ownership(layout, break_lock=given.break_lock)
    ownership.prepare()
    with ownership.swapping():
        yield rollback.present_orders(layout).in_force(time.time())


def _write(layout: Layout, orders: Orders) -> None:
    try:
        write_orders(layout.orders, orders)
    except OSError as error:
        hint = "check space and permissions"
        raise machine_error("write", layout.orders, error, hint) from error


def _add_why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--why", default="", metavar="TEXT", help="the reason, for status and log")


def _add_hold_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--for", dest="seconds", metavar="TIME", help="how long: 90, 30m, 2h, 1d")
    parser.add_argument(
        "--until", metavar="TIME", help="until when, as in 2026-12-24T18:00; local time if no zone"
    )
    _add_why(parser)
    rollback.add_options(parser)


def _hold(layout: Layout, given: argparse.Namespace) -> int:
    now = time.time()
    if given.seconds is not None and given.until is not None:
        raise BadOption("--for and --until exclude each other; give one of them")
    until = None
    try:
        if given.seconds is not None:
            until = now + values.duration(given.seconds)
        elif given.until is not None:
            until = values.instant(given.until)
    except ValueError as error:
        option = "--for" if given.seconds is not None else "--until"
        raise BadOption(f"{option} is wrong: {error}; see --help") from None
    if until is not None and until <= now:
        raise BadOption(
            f"the hold would end at {moment(until)}, which has passed; give a later time"
        )
    hold = OnHold(now, until, given.why)
    with _changing(layout, given) as orders:
        _write(layout, replace(orders, hold=hold))
    print(f"{layout.live} is on hold {hold}: the monitor installs no release.")
    return 0


def _resume(layout: Layout, given: argparse.Namespace) -> int:
    with _changing(layout, given) as orders:
        if orders.hold is not None:
            _write(layout, replace(orders, hold=None))
    if orders.hold is None:
        print(f"{layout.live} was not on hold.")
    else:
        print(f"{layout.live} is no longer on hold.")
    return 0


def _add_pin_options(parser: argparse.ArgumentParser) -> None:
    _add_why(parser)
    rollback.add_options(parser)


def _pin(layout: Layout, given: argparse.Namespace) -> int:
    try:
        release = values.count(given.operand)
    except ValueError as error:
        raise BadOption(f"RELEASE is wrong: {error}; status shows the numbers") from None
    events = EventFile(given.event_file, given.local_model_name)
    events.check()
    pin = Pin(release, time.time(), given.why)
    with _changing(layout, given) as orders:
        # Mend what a killed command left.
        recover(layout, given.local_timestamp_file, until=When.POLL)
        live = read_installed(layout.live).identity
        chosen = choose(listed(layout), release)
        there = live is not None and live.release == release
        if chosen is not None and not there:
            rollback.refuse_links(chosen)
        _write(layout, replace(orders, pin=pin))
        if chosen is not None and not there:
            rollback.swap_in(layout, given, chosen, holding=False, events=events)
    print(f"{layout.live} is pinned to {pin}.")
    if chosen is None and not there:
        print(f"Release {release} is not here: the monitor installs it when it is announced.")
    return 0


def _unpin(layout: Layout, given: argparse.Namespace) -> int:
    with _changing(layout, given) as orders:
        if orders.pin is not None:
            _write(layout, replace(orders, pin=None))
    if orders.pin is None:
        print(f"{layout.live} was not pinned.")
    else:
        print(f"{layout.live} is no longer pinned.")
    return 0


HOLD = Command("Let the monitor install no release.", _hold, _add_hold_options)
RESUME = Command("End a hold.", _resume, rollback.add_options)
PIN = Command(
    "Let the monitor install no release but this one; swap it in if it is kept.",
    _pin,
    _add_pin_options,
    operand="RELEASE",
)
UNPIN = Command("End a pin.", _unpin, rollback.add_options)
