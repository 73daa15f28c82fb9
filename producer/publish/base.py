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
        """Makes the folder if it is not there; proves that the remote answers."""

    @abstractmethod
    def read(self, name: str) -> Optional[bytes]:
        """A small file's bytes, None when there is no such file."""

    @abstractmethod
    def put(self, local: Path, name: str) -> None:
        """Uploads ``local`` under a temporary name and renames it to ``name``, replacing it.

        A reader sees the old bytes or the new ones, never a part.
        """

    def where(self, name: str) -> str:
        """``name``'s URL for messages, without a password."""
        return f"{str(self.address).rstrip('/')}/{name}"


def uploading(name: str) -> str:
    """Return the temporary name, which is always the same.

    So a broken upload leaves no litter: the next upload replaces it. By contract a path has one
    producer.
    """
    return f".{name}.uploading"


def publish(remote: Publisher, tarball: Path, donefile: Path) -> None:
    """Publishes one release: the tarball first, the donefile only when the tarball is in place.

    The files' own names are used. Raises ``RemoteError``; publishing again is then safe.
    """
    remote.put(tarball, tarball.name)
    remote.put(donefile, donefile.name)
