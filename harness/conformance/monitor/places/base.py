"""A remote as the suite needs it: bytes published by the release contract, broken on cue.

A ``Place`` is one remote for a whole run. Every scenario gets a ``Folder`` of its own in it, so
that it does not see another scenario's releases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Callable, Optional, Protocol

from harness.support.startable import Startable


class Folder(ABC):
    """Where one scenario publishes.

    ``options`` are upstream's options that point a monitor here, names without dashes
    (``type``, ``remote_path`` and the remote's own).
    """

    options: Mapping[str, str]

    @abstractmethod
    def put(self, name: str, data: bytes, *, second: Optional[int] = None) -> None:
        """Uploads under a temporary name, then renames into place, replacing what is there.

        ``second`` sets the file's modification time (seconds since the epoch) before the rename,
        for releases that have to look alike.
        """

    def put_folder(self, name: str, members: Mapping[str, bytes]) -> None:
        """Uploads a folder of files under a temporary name, then moves it into place."""
        raise NotImplementedError(f"{type(self).__name__} publishes no folders")

    @abstractmethod
    def remove(self, name: str) -> None:
        """Deletes the file; it must be there."""

    @abstractmethod
    def second(self, name: str) -> int:
        """The file's modification time in whole seconds since the epoch."""

    @abstractmethod
    def touch(self, name: str, second: int) -> None:
        """Sets the file's modification time; its bytes stay."""

    def let_all_read(self) -> None:
        """Undo what ``Place.refusing`` has changed in this folder's rights."""
        raise NotImplementedError(f"{type(self).__name__} has no rights")


class Reader(Protocol):
    """What a place changes so that the monitor is let in or refused: ``stage.Stage`` is one."""

    #: What the monitor reads.
    remote: Folder
    #: Where the logs of a scenario lie.
    folder: Path
    #: The monitor's options, names without dashes.
    options: dict[str, str]

    def set_secret(self, secret: str) -> None:
        """Note a secret that the monitor is given and must not write out."""

    def set_environment(self, name: str, value: str) -> None:
        """Set a variable for each run of the monitor from now on."""


class Place(Startable):
    """One remote of a run: ``name`` is the column of the report.

    Attributes:
        interval_s: The shortest polling interval that a monitor gets here, in seconds.
        poll_s: What one poll takes in addition (a JVM), in seconds.
        install_s: What a whole installation takes in addition; it has several polls.
        stop_at: The byte of a connection at which a pull is stopped. A connection that only reads
            the donefile has far fewer.
        length: How long a scenario takes here, as a rough multiple of its time over HTTP.
        most_releases: How many in a row are enough here; None: as many as are asked for.
    """

    name: str
    interval_s: float = 0.0
    stop_at: int = 1 << 20
    poll_s: float = 0.0
    install_s: float = 0.0
    length: float = 1.0
    most_releases: Optional[int] = None

    @abstractmethod
    def start(self) -> None:
        """Brings it up; returns when a read and a write have worked."""

    @abstractmethod
    def folder(self, name: str) -> Folder:
        """A new empty folder."""

    @abstractmethod
    def down(self) -> None:
        """Connections break and new ones are refused."""

    @abstractmethod
    def up(self) -> None:
        """End ``down``, ``cut_after`` and ``silent_after``; reset the connections that are held."""

    @abstractmethod
    def cut_after(self, size: int) -> None:
        """From now on every connection breaks once ``size`` bytes have come down on it."""

    @abstractmethod
    def silent_after(self, size: int) -> None:
        """From now on every connection goes silent once ``size`` bytes have come down on it."""

    @abstractmethod
    def spare_others(self) -> None:
        """End ``silent_after``, except for connections that are already silent."""

    @abstractmethod
    def held(self) -> int:
        """How many connections ``cut_after`` or ``silent_after`` have stopped since it was set."""

    @abstractmethod
    def traffic(self) -> int:
        """How many bytes have come down to clients so far: it grows with every poll."""

    @abstractmethod
    def seek(self, data: bytes) -> None:
        """``found`` says from now on whether these bytes have come down to a client."""

    @abstractmethod
    def found(self) -> bool:
        """Whether the bytes of ``seek`` have come down since, on one connection."""

    @abstractmethod
    def go_on(self) -> None:
        """Do the same as ``up``, but silent connections continue where they stopped."""

    @property
    @abstractmethod
    def logs(self) -> list[Path]:
        """The log files of its services."""

    @abstractmethod
    def refusing(self, reader: Reader) -> AbstractContextManager[Callable[[], int]]:
        """Give the monitor credentials that this remote refuses.

        The context's value says how often the remote has refused them so far, as the remote itself
        saw it.
        """

    def trusting(self, reader: Reader) -> AbstractContextManager[None]:
        """Give the monitor right credentials with a secret, and ask for them."""
        raise NotImplementedError(f"{type(self).__name__} has no secrets")
