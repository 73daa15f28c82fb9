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

from .disk import machine_error, remove
from .errors import BadOption
from .live.kept import Kept, add, listed, rescue
from .live.layout import ROLLBACK, Folder
from .live.lock import is_held
from .live.recovery import recover
from .live.replace import swap
from .live.staging import choose_second, dress, flush, stamp, time_second, tree
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


def main(words: Sequence[str]) -> int:
    """Runs a command (``words[0]`` is its name). Gives the exit code. Raises ``MonitorError``."""
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
    else:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    # What the monitor itself takes besides, so that its command line can be used again.
    given, _ = parser.parse_known_args(words[1:])
    live = os.path.normpath(os.path.join(given.local_path, given.local_model_name))
    folder = Folder(live, break_lock=getattr(given, "break_lock", False))
    if not os.path.isdir(folder.parent):
        raise BadOption(f"{folder.parent} is no folder; check --local_path")
    if words[0] == "status":
        return _status(folder, given)
    return _rollback(folder, given)


def _status(folder: Folder, given: argparse.Namespace) -> int:
    """Prints what is installed, held, quarantined and kept; 1 when there is no live directory."""
    there = os.path.isdir(folder.live)
    installed = read_installed(folder.live)
    hold = read_hold(folder.hold)
    bad = read_quarantine(folder.quarantine)
    facts: dict[str, Any] = {
        "live": folder.live,
        "exists": there,
        "installed": _label(installed),
        "swapped": installed.swapped,
        "time_file_second": time_second(folder.live, given.local_timestamp_file),
        "monitor_running": is_held(os.path.join(folder.control, "lock")),
        "held": hold.identity.label if hold else None,
        "quarantined": f"{bad.identity.label}: {bad.reason}" if bad else None,
        "kept": [
            _label(kept.installed) + (" (rolled back)" if kept.rolled_back else "")
            for kept in listed(folder)
        ],
    }
    if given.json:
        print(json.dumps(facts))
    else:
        for key, value in facts.items():
            print(f"{key.replace('_', ' ')}: {_shown(key, value)}")
    return 0 if there else 1


def _rollback(folder: Folder, given: argparse.Namespace) -> int:
    """Swaps a kept release in and holds back the announced one until the donefile changes."""
    folder.prepare()
    with folder.swapping():
        # What an earlier one that was killed left.
        recover(folder.live, folder.stagings(), given.local_timestamp_file)
        rescue(folder)
        kept = listed(folder)
        chosen = _choose(kept, given.to)
        if chosen is None:
            wanted = f"release {given.to}" if given.to is not None else "an old release"
            raise BadOption(
                f"{wanted} is not kept beside {folder.live}; run the monitor with --keep N"
            )
        links = linked(chosen.path)
        if links:
            raise BadOption(
                f"{_label(chosen.installed)} as kept in {chosen.path} has a symbolic link for "
                f"{links[0]}, which a server does not load; replace it by the file itself, or "
                "choose another release with --to"
            )
        before = read_installed(folder.live)
        earlier = read_hold(folder.hold)
        hold = _to_hold(folder, earlier, before)
        staging = ""
        try:
            if hold is not None:
                # First the hold: cut off here, nothing has changed but that no pull happens.
                write_hold(folder.hold, hold)
            now = time.time()
            second = choose_second(folder.live, given.local_timestamp_file, now)
            staging = folder.staging_name(ROLLBACK)
            os.rename(chosen.path, staging)
            state = replace(chosen.installed, second=second, swapped=now)
            stamp(staging, given.local_timestamp_file, state)
            everything = tree(staging)
            dress(everything, folder.live)
            flush(everything)
            old = swap(staging, folder.live, given.local_timestamp_file)
        except OSError as error:
            _undo(folder, chosen, staging, earlier)
            raise machine_error(
                "roll back", folder.live, error, "mend that and try again"
            ) from error
        try:
            if old is not None and not os.path.islink(old):
                add(folder, old, max(1, len(kept)), rolled_back=True)
            elif old is not None:
                remove(old)
        except OSError as error:
            # The rollback is done; a monitor that starts keeps what lies there.
            print(f"cannot put away {old}: {error.strerror}", file=sys.stderr)
    print(f"{folder.live} is {_label(state)} again, in place of {_label(before)}.")
    if hold is None:
        print("Nothing is held back, because no monitor has seen yet what the donefile announces.")
    else:
        print(f"{hold.identity.label}, as announced, is held back until the donefile changes.")
    return 0


def _to_hold(folder: Folder, earlier: Optional[Hold], before: Installed) -> Optional[Hold]:
    """What the donefile announces, which may be pulled at this moment or waiting for its turn, and
    not what is installed."""
    seen = read_announced(folder.announced) or (earlier and earlier.identity)
    held = seen or before.identity
    if held is None:
        return None
    tarball = None
    if held in (before.identity, read_trust(folder.validators).last_announced(before.identity)):
        tarball = before.tarball
    elif earlier is not None and earlier.identity == held:
        tarball = earlier.tarball
    return Hold(held, before.identity, tarball)


def _undo(folder: Folder, chosen: Kept, staging: str, earlier: Optional[Hold]) -> None:
    """After a rollback that failed: the release is kept again, and held is what was before."""
    try:
        if staging and os.path.lexists(staging) and not os.path.lexists(chosen.path):
            os.rename(staging, chosen.path)
        if os.path.lexists(chosen.path) and earlier is None:
            remove(folder.hold)
        elif os.path.lexists(chosen.path) and earlier is not None:
            write_hold(folder.hold, earlier)
    except OSError as error:
        print(f"cannot undo the rollback: {error}; {staging} is kept", file=sys.stderr)


def _choose(kept: list[Kept], release: Optional[int]) -> Optional[Kept]:
    """The kept release to go back to; newest first."""
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
