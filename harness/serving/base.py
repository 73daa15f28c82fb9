"""What every server of a run can do, wherever it runs (a local process or a container)."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Optional

from harness.support.startable import Startable

from .binary import ServingBinary


class Serving(Startable):
    """One Paddle Serving server over one live directory.

    ``live_dir`` is the folder the server loads from and the monitor swaps; ``log_file`` is
    ``log/serving.INFO``; ``port`` is on ``host``.
    """

    host = "127.0.0.1"
    live_dir: Path
    log_file: Path
    port: int
    binary: ServingBinary

    @abstractmethod
    def start(self) -> None:
        """Starts the launcher and returns without waiting for the server."""

    @abstractmethod
    def ready(self, deadline_s: float = 90.0) -> None:
        """Returns once the server says it is healthy; else raises ``Failed``."""

    def healthy(self) -> bool:
        """Whether the server answers its health page and has its log. Raises what requests does."""
        import requests

        with requests.Session() as session:
            # It is on this machine: a proxy of the user's could not reach it.
            session.trust_env = False
            answer = session.get(f"http://127.0.0.1:{self.port}/health", timeout=2)
        return answer.status_code == requests.codes.ok and self.log_file.exists()

    @abstractmethod
    def stop(self) -> None:
        """Ends it in order. Safe to repeat."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL to all of it."""

    @abstractmethod
    def pause(self) -> None:
        """The port stays open, nothing answers."""

    @abstractmethod
    def resume(self) -> None:
        """Ends a pause or a disconnection."""

    @abstractmethod
    def disconnect(self) -> None:
        """Connections break and new ones fail, while the server itself lives on."""

    def restart(self) -> None:
        """Ends it in order and starts it again; returns without waiting for it."""
        self.stop()
        self.start()

    @abstractmethod
    def check(self) -> None:
        """Raises ``Failed`` with the end of the launcher's output when the server is gone."""

    @abstractmethod
    def identity(self) -> Optional[str]:
        """What changes when the server was restarted (process and its start); None when down."""

    @property
    def pids(self) -> list[int]:
        """Return the process ids of all that serves; none where this machine cannot see them."""
        return []

    @property
    @abstractmethod
    def logs(self) -> list[Path]:
        """The launcher's output and the server's own log."""
