"""The runs of the monitor in one scenario: started, ended, recorded.

In: command lines. Out: the ``runs``, ``processes`` and ``figures`` of what was observed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from harness.support.errors import Failed
from harness.support.process import Process
from harness.support.waits import wait_for

from .observed import MonitorRun, Observed

# Ends at SIGTERM in order, and has nothing else to do.
_BARE = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
    "print('up', flush=True); signal.pause()"
)


class Runs:
    """One monitor at a time, in ``folder``, each run with a log of its own."""

    def __init__(
        self, folder: Path, observed: Observed, environment: Optional[Mapping[str, str]]
    ) -> None:
        # Environment variables of every run from now on; a scenario may add some.
        self.added: dict[str, str] = {}
        self._folder = folder
        self._observed = observed
        self._environment = environment
        self._monitor: Optional[Process] = None
        self._started = 0.0
        self._count = 0

    @property
    def environment(self) -> dict[str, str]:
        """What the monitor is started with."""
        given = os.environ if self._environment is None else self._environment
        return {**given, **self.added}

    @property
    def monitor(self) -> Process:
        """The monitor that runs, or ran last."""
        assert self._monitor is not None
        return self._monitor

    @property
    def alive(self) -> bool:
        """False when a monitor that was started has ended by itself."""
        return self._monitor is None or self._monitor.running

    def start(self, argv: Sequence[str]) -> None:
        """Start the monitor, for the first time or again."""
        self._count += 1
        log = self._folder / f"monitor-{self._count}.log"
        self._monitor = self._process("the monitor", argv, log)
        self._started = time.monotonic()
        self._monitor.start()

    def second(self, argv: Sequence[str]) -> Process:
        """Another monitor beside the first, not started yet; its run is not recorded."""
        return self._process("the second monitor", argv, self._folder / "second-monitor.log")

    def _process(self, name: str, argv: Sequence[str], log: Path) -> Process:
        return Process(name, argv, log=log, cwd=self._folder, env=self.environment)

    def stop(self, *, term: bool = False) -> None:
        """End the monitor and record the run. ``term``: SIGTERM, timed; else SIGKILL."""
        if self._monitor is None:
            return
        monitor, self._monitor = self._monitor, None
        ended_itself = not monitor.running
        code = monitor.returncode
        stop_s: Optional[float] = None
        if not ended_itself and term:
            asked = time.monotonic()
            monitor.signal(signal.SIGTERM)
            with contextlib.suppress(Failed):
                code = monitor.wait(10)
            stop_s = time.monotonic() - asked
        if monitor.running:
            monitor.kill()
        monitor.stop()
        log = monitor.log.read_text(errors="replace") if monitor.log.exists() else ""
        self._observed.runs.append(
            MonitorRun(
                *(self._started, time.monotonic(), code, ended_itself, log, stop_s),
                argv=tuple(monitor.argv),
            )
        )

    def measure_bare_stop(self) -> None:
        """Record in ``figures["bare_stop_s"]`` how long SIGTERM takes to end a bare program.

        The program has nothing to do at its end. The time is measured as in ``stop``.
        """
        log = self._folder / "bare.log"
        with Process("a bare program", [sys.executable, "-c", _BARE], log=log) as bare:
            wait_for(lambda: log.stat().st_size, "a bare program", 20, alive=bare.check)
            asked = time.monotonic()
            bare.signal(signal.SIGTERM)
            bare.wait(10)
            taken = time.monotonic() - asked
        self._observed.figures.setdefault("bare_stop_s", []).append(taken)

    def note_processes(self) -> None:
        """Record the command lines of the monitor's children.

        The monitor's own command line does not count. A child has the same one until it calls exec.
        """
        pids = self._monitor.pids if self._monitor is not None else []
        if not pids:
            return
        own = _command_line(pids[0])
        for pid in pids[1:]:
            line = _command_line(pid)
            if line not in ("", own, *self._observed.processes):
                self._observed.processes.append(line)


def _command_line(pid: int) -> str:
    """Return the words of a process's command line with spaces between; "" if it has ended."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words).decode(errors="replace").strip()
    return ""
