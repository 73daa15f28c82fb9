"""Keeps a Compose project only as long as the harness lives.

For example:

    line = Lifeline("hotloading-3f2a", run / "logs")
    …                       # harness killed: the sweeper keeps the logs and removes the project
    line.let_go(done=True)  # the harness has removed all: the sweeper ends without work
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from . import engine, sweep


class Lifeline:
    """The writing end of a pipe; a sweeper (``sweep.py``) in a session of its own has the other.

    ``logs`` is the folder for the containers' logs. ``life`` is 1 for the project's first start,
    and one more for each further start.
    """

    def __init__(self, project: str, logs: Path, life: int = 1) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        reading, self._writing = os.pipe()
        try:
            self._sweeper = subprocess.Popen(
                [
                    *(sys.executable, "-S", "-E", sweep.__file__, str(reading)),
                    *(engine.client(), project, str(logs), str(life)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[reading],
                # Ctrl-C at a terminal goes to the foreground group, and must not reach the sweeper.
                start_new_session=True,
                # The run's folder may be removed or unmounted before the sweeper has ended.
                cwd="/",
            )
        except BaseException:
            os.close(self._writing)
            raise
        finally:
            os.close(reading)

    def let_go(self, *, done: bool) -> None:
        """End the sweeper. Unless ``done``, it first keeps the logs and removes the project."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, b"done" if done else b"")
        os.close(self._writing)
        # If the engine does not answer, the sweeper takes longer and continues alone.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._sweeper.wait(40)
