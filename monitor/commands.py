"""``status`` and ``rollback``: what a person asks of a live directory, monitor running or not."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from .decisions.moments import Moment
from .disk import machine_error, remove
from .errors import BadOption
from .live.kept import Kept, listed
from .live.layout import ROLLBACK, Layout
from .live.lock import is_held
from .live.ownership import Ownership
from .live.recovery import When, recover
from .live.replace import replace_live
from .live.staging import complete, time_second
from .live.state import (
    Hold,
    Installed,
    read_announced,
    read_hold,
    read_installed,
    read_quarantine,
    read_trust,
    write_hold,
)
from .options.parser import Parser
from .release.model import linked
from .watch.events import EventFile


def main(words: Sequence[str]) -> int:
    """Run a command. Return the exit code.

    Args:
        words: The command line; the first word is the command's name.

    Raises:
        MonitorError: The command failed.
    """
    parser = Parser(prog=f"python -m monitor {words[0]}")
    parser.add_argument("--local_path", required=True, help="the folder that holds the model")
    parser.add_argument("--local_model_name", required=True, help="the live directory's name")
    parser.add_argument("--local_timestamp_file", default="fluid_time_file", help="its time file")
    if words[0] == "rollback":
        parser.add_argument(
            "--to", type=int, metavar="RELEASE", help="this release number (default: the last)"
        )
        parser.add_argument(
            "--break_lock", action="store_true", help="take over the lock of a host that is gone"
        )
        parser.add_argument("--event_file", default="", help="append the rollback to this file")
    else:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    # What the monitor itself takes besides, so that its command line can be used again.
    given, _ = parser.parse_known_args(words[1:])
    live = os.path.normpath(os.path.join(given.local_path, given.local_model_name))
    layout = Layout(live)
    if not os.path.isdir(layout.parent):
        raise BadOption(f"{layout.parent} is no folder; check --local_path")
    if words[0] == "status":
        return _status(layout, given)
    return _rollback(layout, given)


def _status(layout: Layout, given: argparse.Namespace) -> int:
    """Print what is installed, held, quarantined and kept. Return 1 without a live directory."""
    there = os.path.isdir(layout.live)
    installed = read_installed(layout.live)
    hold = read_hold(layout.hold)
    bad = read_quarantine(layout.quarantine)
    facts: dict[str, Any] = {
        "live": layout.live,
        "exists": there,
        "installed": _label(installed),
        "swapped": installed.swapped,
        "time_file_second": time_second(layout.live, given.local_timestamp_file),
        "monitor_running": is_held(layout.lock),
        "held": hold.identity.label if hold else None,
        "quarantined": f"{bad.identity.label}: {bad.reason}" if bad else None,
        "kept": [
            _label(kept.installed) + (" (rolled back)" if kept.rolled_back else "")
            for kept in listed(layout)
        ],
    }
    if given.json:
        print(json.dumps(facts))
    else:
        for key, value in facts.items():
            print(f"{key.replace('_', ' ')}: {_shown(key, value)}")
    return 0 if there else 1


def _rollback(layout: Layout, given: argparse.Namespace) -> int:
    """Swap in a kept release, and hold the announced one back until the donefile changes."""
    events = EventFile(given.event_file, given.local_model_name)
    events.check()
    ownership = Ownership(layout, break_lock=given.break_lock)
    ownership.prepare()
    with ownership.swapping():
        # What an earlier one that was killed left.
        recover(layout, given.local_timestamp_file, until=When.POLL)
        kept = listed(layout)
        chosen = _choose(kept, given.to)
        if chosen is None:
            wanted = f"release {given.to}" if given.to is not None else "an old release"
            raise BadOption(
                f"{wanted} is not kept beside {layout.live}; run the monitor with --keep N"
            )
        links = linked(chosen.path)
        if links:
            raise BadOption(
                f"{_label(chosen.installed)} as kept in {chosen.path} has a symbolic link for "
                f"{links[0]}, which a server does not load; replace it by the file itself, or "
                "choose another release with --to"
            )
        before = read_installed(layout.live)
        earlier = read_hold(layout.hold)
        hold = _to_hold(layout, earlier, before)
        staging = ""

        def swapped(installed: Installed) -> None:
            replaced = before.identity.release if before.identity else None
            more = {"second": installed.second, "replaced": replaced}
            events.write(Moment.ROLLED_BACK, installed.identity, installed.tarball, **more)

        try:
            if hold is not None:
                # First the hold: cut off here, nothing has changed but that no pull happens.
                write_hold(layout.hold, hold)
            staging = layout.staging(ROLLBACK)
            os.rename(chosen.path, staging)
            complete(staging, layout.live)
            after = replace_live(
                layout,
                staging,
                replace(chosen.installed, swapped=time.time()),
                given.local_timestamp_file,
                keep=max(1, len(kept)),
                rolled_back=True,
                swapped=swapped,
            )
        except OSError as error:
            _undo(layout, chosen, staging, earlier)
            raise machine_error(
                "roll back", layout.live, error, "mend that and try again"
            ) from error
    print(f"{layout.live} is {_label(after)} again, in place of {_label(before)}.")
    if hold is None:
        print("Nothing is held back, because no monitor has seen yet what the donefile announces.")
    else:
        print(f"{hold.identity.label}, as announced, is held back until the donefile changes.")
    return 0


def _to_hold(layout: Layout, earlier: Optional[Hold], before: Installed) -> Optional[Hold]:
    """Return what a rollback holds back: the release that the donefile announces.

    It may be installed, being pulled, or waiting for its turn.
    """
    seen = read_announced(layout.announced) or (earlier and earlier.identity)
    held = seen or before.identity
    if held is None:
        return None
    tarball = None
    if held in (before.identity, read_trust(layout.validators).last_announced(before.identity)):
        tarball = before.tarball
    elif earlier is not None and earlier.identity == held:
        tarball = earlier.tarball
    return Hold(held, before.identity, tarball)


def _undo(layout: Layout, chosen: Kept, staging: str, earlier: Optional[Hold]) -> None:
    """Keep the release again after a rollback that failed, and restore the earlier hold."""
    try:
        if staging and os.path.lexists(staging) and not os.path.lexists(chosen.path):
            os.rename(staging, chosen.path)
        if os.path.lexists(chosen.path) and earlier is None:
            remove(layout.hold)
        elif os.path.lexists(chosen.path) and earlier is not None:
            write_hold(layout.hold, earlier)
    except OSError as error:
        print(f"cannot undo the rollback: {error}; {staging} is kept", file=sys.stderr)


def _choose(kept: list[Kept], release: Optional[int]) -> Optional[Kept]:
    """Return the kept release to go back to; the newest one unless ``release`` is given."""
    for one in reversed(kept):
        identity = one.installed.identity
        if release is None and not one.rolled_back:
            return one
        if release is not None and identity is not None and identity.release == release:
            return one
    return None


def _label(installed: Installed) -> str:
    return installed.identity.label if installed.identity else "a release that no monitor installed"


def _shown(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "swapped" and isinstance(value, float):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
