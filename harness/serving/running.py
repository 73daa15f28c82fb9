"""A server that runs already, on this machine or another one. The harness never stops it."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import NoReturn, Optional

from harness.support import guard
from harness.support.errors import BadInput, Failed

from .base import Serving
from .binary import ServingBinary
from .local import listener

_TIMEOUT_S = 5.0


class RunningServing(Serving):
    """The server at ``host``:``port``, which loads from ``live_dir`` and writes ``log_file``."""

    def __init__(self, host: str, port: int, *, live_dir: Path, log_file: Path) -> None:
        self.host = host
        self.port = port
        self._pid: Optional[int] = None
        self.live_dir = live_dir
        self.log_file = log_file
        self.binary = ServingBinary(
            "running", Path(f"{host}:{port}"), "version unknown", "--server names it"
        )

    def start(self) -> None:
        if not self.live_dir.is_dir():
            raise BadInput(
                f"--live-dir {self.live_dir} is not there; name the folder that the server "
                "loads from, with its model"
            )
        self.check()

    def ready(self, deadline_s: float = 90.0) -> None:
        self.check()

    def stop(self) -> None:
        """Do nothing: who started the server stops it."""

    def kill(self) -> None:
        self._not_ours()

    def pause(self) -> None:
        self._not_ours()

    def resume(self) -> None:
        self._not_ours()

    def disconnect(self) -> None:
        self._not_ours()

    def _not_ours(self) -> NoReturn:
        raise BadInput(
            f"the server at {self.host}:{self.port} was not started by this run, so the run does "
            "not break it; use a scenario that leaves the server alone"
        )

    def check(self) -> None:
        try:
            socket.create_connection((self.host, self.port), _TIMEOUT_S).close()
        except OSError as error:
            raise Failed(
                f"nothing answers at the server's address {self.host}:{self.port}: "
                f"{error.strerror or error}; start the server again, or correct --server"
            ) from None

    def identity(self) -> Optional[str]:
        return listener(self.port, self._visible())

    @property
    def pids(self) -> list[int]:
        # To find the process takes a look at the files of all processes.
        if self._pid is None or not Path(f"/proc/{self._pid}").exists():
            found = self.identity()
            self._pid = int(found.partition("@")[0]) if found else None
        return [] if self._pid is None else [self._pid, *guard.descendants(self._pid)]

    def _visible(self) -> list[int]:
        """Return the processes of this machine; none if the server runs elsewhere."""
        with contextlib.suppress(OSError):
            if socket.gethostbyname(self.host).startswith("127."):
                return [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return []

    @property
    def logs(self) -> list[Path]:
        return [self.log_file]
