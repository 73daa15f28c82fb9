"""What every remote can do, wherever it runs (a local process or a container).

A remote is a place where releases are published. It knows how it is reached by the producer
(``url``) and by a monitor (``monitor_options``), and it can be broken on purpose.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Optional

from harness.support.startable import Startable


class Remote(Startable):
    """One remote of a run.

    ``name`` is ``hdfs``, ``ftp`` or ``http``. ``services`` are the parts that can be broken one by
    one, for HDFS ``("namenode", "datanode")``. Every fault takes the name of a service; without a
    name it meets all of them.
    """

    name: str
    services: tuple[str, ...]

    @abstractmethod
    def start(self, service: Optional[str] = None) -> None:
        """Starts the remote, or one stopped service of it; returns without waiting for it."""

    @abstractmethod
    def ready(self, deadline_s: float = 60.0) -> None:
        """Returns once a file has been written, read back and removed; else raises ``Failed``."""

    @abstractmethod
    def stop(self, service: Optional[str] = None) -> None:
        """Ends it in order. Safe to repeat. What was published survives until ``start``."""

    @abstractmethod
    def kill(self, service: Optional[str] = None) -> None:
        """SIGKILL. What was published survives."""

    @abstractmethod
    def pause(self, service: Optional[str] = None) -> None:
        """Ports stay open, nothing answers (SIGSTOP, ``docker pause``)."""

    @abstractmethod
    def resume(self, service: Optional[str] = None) -> None:
        """Ends a pause or a disconnection."""

    @abstractmethod
    def disconnect(self, service: Optional[str] = None) -> None:
        """Connections break and new ones fail, while the service itself lives on."""

    def restart(self, service: Optional[str] = None) -> None:
        """Ends it, or one service of it, in order and starts it again; does not wait for it."""
        self.stop(service)
        self.start(service)

    def check(self) -> None:
        """Raises ``Failed`` when a service that was started has ended by itself.

        Not abstract: a remote that cannot tell says nothing.
        """

    @property
    @abstractmethod
    def url(self) -> str:
        """For the producer's ``--remote``: scheme, address and path. Carries no password."""

    @property
    @abstractmethod
    def producer_environment(self) -> dict[str, str]:
        """Environment variables the producer needs beside ``url`` (a password)."""

    @property
    @abstractmethod
    def producer_options(self) -> list[str]:
        """Options the producer needs beside ``--remote`` (``--hadoop_bin …`` for hdfs://)."""

    @abstractmethod
    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        """Upstream's options that point a monitor at this remote: ``--type …``, host, port, path.

        ``kind`` picks one of ``monitor_kinds`` (the first one without it).
        """

    @property
    @abstractmethod
    def monitor_kinds(self) -> tuple[str, ...]:
        """Values of ``--type`` that reach this remote, the page's own one first."""

    @property
    @abstractmethod
    def logs(self) -> list[Path]:
        """The log files of its services."""
