"""``status``: what is installed, held, refused and kept."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

from ..decisions.orders import moment
from ..decisions.serving import Phase
from ..live.kept import listed
from ..live.layout import Layout
from ..live.lock import is_held
from ..live.staging import time_second
from ..live.state import (
    Installed,
    read_hold,
    read_installed,
    read_orders,
    read_quarantine,
    read_queue,
    read_serving,
    read_untrusted,
)
from .command import Command


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(layout: Layout, given: argparse.Namespace) -> int:
    """Print what is there. Return 1 without a live directory."""
    there = os.path.isdir(layout.live)
    installed = read_installed(layout.live)
    hold = read_hold(layout.hold)
    bad = read_quarantine(layout.quarantine)
    orders = read_orders(layout.orders).in_force(time.time())
    facts: dict[str, Any] = {
        "live": layout.live,
        "exists": there,
        "installed": installed.label,
        "serving": _serving(layout, installed),
        "swapped": installed.swapped,
        "time_file_second": time_second(layout.live, given.local_timestamp_file),
        "monitor_running": is_held(layout.lock),
        "held": hold.identity.label if hold else None,
        "on_hold": orders.to_json()["hold"] if given.json else orders.hold,
        "pinned": orders.to_json()["pin"] if given.json else orders.pin,
        "quarantined": f"{bad.identity.label}: {bad.reason}" if bad else None,
        "untrusted": read_untrusted(layout.untrusted),
        "hooks": str(read_queue(layout.notices) or "none pending"),
        "kept": [
            kept.installed.label + (" (rolled back)" if kept.rolled_back else "")
            for kept in listed(layout)
        ],
    }
    if given.json:
        print(json.dumps(facts))
    else:
        for key, value in facts.items():
            print(f"{key.replace('_', ' ')}: {_shown(key, value)}")
    return 0 if there else 1


STATUS = Command("Print what is installed, held, refused and kept.", _run, _add_options)


def _serving(layout: Layout, installed: Installed) -> str:
    """Return whether the server serves the installed release, in words."""
    known = read_serving(layout.serving)
    if known is None or (known.identity, known.second) != (installed.identity, installed.second):
        return Phase.UNKNOWN.value
    phase = Phase.__members__.get(known.phase, Phase.UNKNOWN)
    return phase.value + (f": {known.why}" if known.why else "")


def _shown(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "swapped" and isinstance(value, float):
        return moment(value)
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
