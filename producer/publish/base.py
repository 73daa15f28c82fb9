"""What every remote can do for the producer, and the order of a publication."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Optional

from .address import Address


class Publisher(ABC):
    """One remote folder. Every method raises ``RemoteError`` when the remote does not do it.

    A publisher keeps no connection between calls that may be minutes apart: whatever happened to
    the remote in between, the next call starts anew.
    """

    def __init__(self, address: Address) -> None:
        self.address = address

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder if it is missing. Prove that the remote answers."""

    @abstractmethod
    def read(self, name: str) -> Optional[bytes]:
        """Return a small file's bytes; None when there is no such file."""

    @abstractmethod
    def put(self, local: Path, name: str) -> None:
        """Upload ``local`` under a temporary name and rename it to ``name``, replacing any file.

        A reader sees the old bytes or the new ones, never a part.
        """

    def where(self, name: str) -> str:
        """Return ``name``'s URL for messages, without a password."""
        return f"{str(self.address).rstrip('/')}/{name}"


def uploading(name: str) -> str:
    """Return the temporary name, which is always the same.

    So a broken upload leaves no litter: the next upload replaces it. By contract a path has one
    producer.
    """
    return f".{name}.uploading"


def publish(remote: Publisher, tarball: Path, donefile: Path) -> None:
    """Publish one release: the tarball first, the donefile only when the tarball is in place.

    The files keep their names. Raises ``RemoteError``; publishing again is then safe.
    """
    remote.put(tarball, tarball.name)
    remote.put(donefile, donefile.name)
