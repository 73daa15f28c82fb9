"""A local process of the harness: started under a guard, with a log, and faults as methods.

    with Process("nginx", ["nginx", "-c", conf], log=run / "nginx.log") as nginx: ...

Every process runs under ``harness/support/guard.py``, so that it and all it started are gone when
the harness is, even after a ``kill -9`` of the harness.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Optional

from . import guard
from .errors import Failed
from .startable import Startable
from .waits import tail, wait_for

_GUARD = Path(guard.__file__)
# The variable that holds a mark.
MARK = "HARNESS_LEG"


def new_mark() -> str:
    """Return a word that no other process's environment holds."""
    return uuid.uuid4().hex


def marked(mark: str) -> list[int]:
    """Living processes of ours whose environment at their start held ``mark``."""
    found = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in found if pid != os.getpid() and has_mark(pid, mark)]


def has_mark(pid: int, mark: str) -> bool:
    """Whether the environment of a living process held ``mark`` at its start."""
    # Another user's, gone meanwhile, or a zombie without an environment.
    with contextlib.suppress(OSError):
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False


class Process(Startable):
    """One command under a guard.

    ``name`` stands in messages; ``log`` receives standard output and error (appended, so that a
    restart keeps what was there); ``env`` replaces the environment when given. ``grace_s`` lies
    between SIGTERM and SIGKILL at the end. ``mark`` is put into its environment, so that
    ``marked`` finds it and what it started.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        cwd: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[int] = subprocess.DEVNULL,
        grace_s: float = 2.0,
        mark: str = "",
    ) -> None:
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = log
        self._cwd = cwd
        self._env = env
        self._stdin = stdin
        self._grace_s = grace_s
        self._given_mark = mark
        # In the environment of all it starts: finds what is left when the guard itself is killed.
        self._mark = f"HARNESS_PROCESS_{uuid.uuid4().hex}"
        self._guard: Optional[subprocess.Popen[bytes]] = None
        self._lifeline: Optional[int] = None

    def start(self) -> None:
        """Starts the command. Raises ``Failed`` when it already runs."""
        if self.running:
            raise Failed(f"{self.name} is already running (pid {self.pids})")
        self._let_go()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        guarded = [sys.executable, "-S", "-E", str(_GUARD)]
        reading, writing = os.pipe()
        try:
            with self.log.open("ab") as log:
                self._guard = subprocess.Popen(
                    [*guarded, str(reading), str(self._grace_s), *self.argv],
                    stdin=self._stdin,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._cwd,
                    env=self._environment(),
                    pass_fds=[reading],
                    start_new_session=True,
                )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._lifeline = writing

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ if self._env is None else self._env)
        if self._given_mark:
            environment[MARK] = self._given_mark
        # Python writes to a file in blocks: a line that is waited for would not be in the log yet.
        return {"PYTHONUNBUFFERED": "1", **environment, self._mark: "1"}

    @property
    def stdin(self) -> IO[bytes]:
        """The command's standard input (only when created with ``stdin=subprocess.PIPE``)."""
        assert self._guard is not None
        assert self._guard.stdin is not None
        return self._guard.stdin

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    @property
    def returncode(self) -> Optional[int]:
        """The command's exit code, 128 + n for signal n, None while it runs."""
        return None if self._guard is None else self._guard.poll()

    @property
    def pids(self) -> list[int]:
        """Process ids of the command and of everything it started (not of the guard)."""
        return guard.descendants(self._guard.pid) if self._guard and self.running else []

    def check(self) -> None:
        """Raises ``Failed`` with the end of the log when the process is gone."""
        if not self.running:
            raise Failed(
                f"{self.name} ended with exit code {self.returncode}"
                f"\n--- last lines of {self.log}\n{tail(self.log)}"
            )

    def wait(self, deadline_s: float) -> int:
        """Waits for the command to end by itself and gives its exit code."""
        assert self._guard is not None, f"{self.name} was never started"
        try:
            return self._guard.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise Failed(
                f"{self.name} was still running after {deadline_s:g} s"
                f"\n--- last lines of {self.log}\n{tail(self.log)}"
            ) from None

    def signal(self, signum: int) -> None:
        """Sends a signal to the command itself (the guard's first child)."""
        for pid in self.pids[:1]:
            os.kill(pid, signum)

    def stop(self) -> None:
        """Ends the command and everything it started: SIGTERM, then SIGKILL. Safe to repeat."""
        if self._guard is None:
            return
        self.resume()
        if self.running:
            self._guard.terminate()
            try:
                self._guard.wait(self._grace_s + guard.KILL_S + 5)
            except subprocess.TimeoutExpired:
                self.kill()
        self._sweep()
        self._let_go()

    def _sweep(self) -> None:
        """SIGKILL to what outlived a guard that was killed itself."""
        if self._guard is not None and self._guard.returncode is not None:
            if self._guard.returncode >= 0:
                return
            for pid in marked(self._mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL to the command and to everything it started, at once."""
        if self._guard is None or not self.running:
            return

        def killed() -> bool:
            # Kill again at each check: right after its start, the guard may not have a child yet.
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not self.running

        wait_for(killed, f"{self.name} to be gone after SIGKILL", 10)
        self._sweep()
        self._let_go()

    def pause(self) -> None:
        """SIGSTOP: the ports stay open, nothing answers."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, after ``pause``."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _let_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.close()
