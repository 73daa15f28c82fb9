"""Starts a monitor's command once before the suite runs.

A command that does not start passes nothing and fails nothing. It ends before it asks the remote
anything: its program or module is missing, or an option is wrong. A monitor that asks and then ends
is judged.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.support.errors import BadInput, Failed
from harness.support.waits import tail, wait_for

from .places.base import Place
from .releases import Release
from .settings import Settings
from .stage import Stage

# A command that still runs after so many seconds has started, whether it asks or not.
_STARTED_S = 10.0


def require_start(
    said: str, place: Place, releases: Sequence[Release], settings: Settings, folder: Path
) -> None:
    """Raise ``BadInput`` if the monitor ends before it asks ``place`` anything.

    Args:
        said: The command as the user typed it.
        place: A remote that is up; the monitor finds no release there.
        releases: The first one is what the server started with.
        settings: The command, and what it is started with.
        folder: Where the monitor runs and its log stays.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stage = Stage(place, place.folder(folder.name), folder, releases, settings)
    before = place.traffic()
    try:
        stage.install(releases[0])
        stage.start_monitor()
        with contextlib.suppress(Failed):
            wait_for(
                lambda: place.traffic() > before or not stage.runs.alive,
                "the monitor's first request",
                _STARTED_S,
                every_s=0.02,
            )
        log = stage.runs.monitor.log
    finally:
        stage.close()
    (run,) = stage.observed.runs
    if run.ended_itself and place.traffic() == before:
        raise BadInput(
            f"the monitor `{said}` does not start: it ended with exit code {run.code} before it "
            f"asked the remote anything ({tail(log, 1)}); check the command and its options"
        )
