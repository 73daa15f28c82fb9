"""Holds on to a Compose project as long as the harness lives, and not a moment longer.

For example:

    line = Lifeline("hotloading-3f2a", run / "logs")
    …                       # harness killed: the sweeper keeps the logs and removes the project
    line.let_go(done=True)  # all was removed in order: nothing is left to do for the sweeper
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

    ``logs`` is the folder that the containers' logs are kept in, ``life`` counts the project's
    times up.
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
                # Ctrl-C at a terminal reaches the whole foreground group, and must not reach it.
                start_new_session=True,
                # The run's folder may be gone, or be unmounted, before it has done its work.
                cwd="/",
            )
        except BaseException:
            os.close(self._writing)
            raise
        finally:
            os.close(reading)

    def let_go(self, *, done: bool) -> None:
        """Ends it; ``done`` says that nothing is left to remove, else the sweeper does it now."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, b"done" if done else b"")
        os.close(self._writing)
        # Longer only where the engine does not answer; it goes on by itself then.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._sweeper.wait(40)
