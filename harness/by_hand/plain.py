"""The main job in plain lines, for a pipe or a log."""

from __future__ import annotations

import time

from harness.support.errors import Failed

from .desk import Desk

_STATE_EVERY_S = 1.0
_START_S = 600.0
# How long the last release may take, after the time of the job itself.
_LAST_S = 120.0


def watch(desk: Desk, every_s: float) -> None:
    """Do the main job, and print a line for everything that happens.

    Raises:
        Failed: A part failed, or the last release is not served in time.
    """
    shown = 0
    asked = 0.0
    until = desk.releases * every_s + _START_S + _LAST_S
    while not desk.finished:
        desk.read()
        new = desk.count - shown
        for line in list(desk.happened)[-new:] if new else ():
            print(line, flush=True)
        shown = desk.count
        if desk.error:
            raise Failed(desk.error)
        if desk.seconds > until:
            raise Failed(
                f"the main job has not ended after {until:g} s; look into its folder, which "
                "the first line of the output names"
            )
        if time.monotonic() >= asked + _STATE_EVERY_S:
            asked = time.monotonic()
            desk.ask_state()
        if desk.due:
            desk.publish_next()
        time.sleep(0.1)
    view = desk.view
    print(
        f"{len(view.published)} releases, {view.asked} requests, {view.failed} failed", flush=True
    )
