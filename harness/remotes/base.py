"""What every remote can do, wherever it runs (a local process or a container).

A remote is a place where releases are published. It knows how it is reached by the producer
(``url``) and by a monitor (``monitor_options``), and it can be broken on purpose.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Optional

from harness.support.errors import BadInput
from harness.support.startable import Startable

Say = Callable[[str], None]
Check = Callable[[], str]


class NotReady(Exception):
    """A probe did not work (yet); the text says what happened."""


class Remote(Startable):
    """One remote of a run.

    Attributes:
        name: What ``REMOTES=`` calls it.
        services: The parts that can be broken one by one, for HDFS ``("namenode", "datanode")``.
            Every fault takes the name of a service; without a name it meets all of them.
        monitor_kinds: Values of ``--type`` that reach this remote. Upstream's own one is first.
        folder: Takes its data and logs.
        path: The remote's folder for releases, "/" as on upstream's hot-loading page. A test may
            change it, so that one HDFS serves many tests.
        mark: A text in the environment of its local processes.
    """

    name: ClassVar[str]
    services: ClassVar[tuple[str, ...]]
    monitor_kinds: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path, *, path: str = "/", mark: str = "") -> None:
        self.folder = folder
        self.path = path
        self.mark = mark

    @classmethod
    def fetch(cls, say: Say) -> None:
        """Fetch what a machine fetches only once; ``make setup`` does this. Default: nothing.

        Raises:
            BadInput: It cannot be fetched.
        """

    @classmethod
    def require(cls) -> None:
        """Raise ``BadInput`` if this machine lacks something that cannot be fetched."""

    @classmethod
    def checks(cls) -> tuple[tuple[str, Check], ...]:
        """Return the rows of ``make doctor``: a title, and what gives the row's text.

        The text begins with MISSING if the remote cannot run here. Default: no rows.
        """
        return ()

    @abstractmethod
    def start(self, service: Optional[str] = None) -> None:
        """Starts the remote, or one stopped service of it; returns without waiting for it."""

    @abstractmethod
    def ready(self, deadline_s: float = 60.0) -> None:
        """Returns once a file has been written, read back and removed; else raises ``Failed``."""

    @abstractmethod
    def probe(self) -> None:
        """Write, read and remove a file. Raises ``NotReady`` if that does not work."""

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

        Not abstract: a remote that cannot tell does nothing.
        """

    @property
    def bytes_sent(self) -> Optional[int]:
        """Return the bytes that have left it so far; None if nothing counts them."""
        return None

    @property
    @abstractmethod
    def url(self) -> str:
        """For the producer's ``--remote``: scheme, address and path. Carries no password."""

    @property
    def producer_environment(self) -> dict[str, str]:
        """Environment variables the producer needs beside ``url`` (a password)."""
        return {}

    @property
    def producer_options(self) -> list[str]:
        """Options the producer needs beside ``--remote`` (``--hadoop_bin …`` for hdfs://)."""
        return []

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        """Upstream's options that point a monitor at this remote: ``--type …``, host, port, path.

        ``kind`` picks one of ``monitor_kinds`` (the first one without it).
        """
        chosen = kind or self.monitor_kinds[0]
        if chosen not in self.monitor_kinds:
            raise BadInput(
                f"no monitor of type {chosen!r} reaches {self.name}; use one of "
                f"{', '.join(self.monitor_kinds)}"
            )
        return ["--type", chosen, "--remote_path", self.path, *self.address_options(chosen)]

    def programs_cpu(self, kind: Optional[str] = None) -> float:
        """Return the share of a core that programs may take which a monitor of this type starts.

        Default: it starts none.
        """
        return 0.0

    @abstractmethod
    def address_options(self, kind: str) -> list[str]:
        """The part of ``monitor_options`` that says where the remote is, for a ``--type``."""

    @property
    @abstractmethod
    def logs(self) -> list[Path]:
        """The log files of its services."""
