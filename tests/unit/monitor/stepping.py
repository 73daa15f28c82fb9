"""A watched model that a test steps, and what it looks at afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

from monitor.decisions.machine import Event, State
from monitor.watch.watch import Watch

from .fixtures import MODEL

MakeWatch = Callable[..., Watch]


def poll(watch: Watch) -> Event:
    """Steps to the end of one look at the donefile and what follows; gives how it ended."""
    if watch.machine.state is State.IDLE:
        watch.step()
    while True:
        row = watch.step()
        if row.then in (State.IDLE, State.ENDED):
            return row.event


def live(tmp_path: Path) -> Path:
    return tmp_path / "local" / MODEL


def release_in(folder: Path) -> int:
    return int((folder / "params.pdiparams").read_bytes()[:9])


def second(folder: Path) -> int:
    return int((folder / "fluid_time_file").stat().st_mtime)


def nothing_left(tmp_path: Path) -> None:
    """Only the live directory, the monitor's folder and maybe an empty folder for pulls are there.

    The monitor makes the folder for pulls only when it needs it.
    """
    local = tmp_path / "local"
    left = {str(path.relative_to(local)) for path in local.glob("*")}
    left |= {str(path.relative_to(local)) for path in local.glob("_serving_monitor_tmp/*")}
    assert left - {"_serving_monitor_tmp"} == {f".{MODEL}.monitor", MODEL}


def until(watch: Watch, event: Event) -> bool:
    """Polls until ``event``; pauses are those of the monitor, at most ten intervals of 0.05 s."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if poll(watch) is event:
            return True
    return False
