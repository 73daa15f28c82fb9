"""A folder of this machine, for example of an HTTP server."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Optional

from ..errors import RemoteError
from .address import Address
from .base import Publisher, uploading

_HINT = "name a folder that this user can write"


class Folder(Publisher):
    """``file:///path``."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._folder = Path(address.path)

    def prepare(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = str(error.strerror)
            raise RemoteError("make the folder", str(self.address), why, _HINT) from None
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise RemoteError("write to", str(self.address), "permission denied", _HINT)

    def read(self, name: str) -> Optional[bytes]:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RemoteError("read", self.where(name), str(error.strerror), _HINT) from None

    def put(self, local: Path, name: str) -> None:
        part = self._folder / uploading(name)
        try:
            with local.open("rb") as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
                target.flush()
                # The server of the folder may run as another user.
                os.fchmod(target.fileno(), 0o644)
                os.fsync(target.fileno())
            os.replace(part, self._folder / name)
            _flush_folder(self._folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise RemoteError("write", self.where(name), str(error.strerror), _HINT) from None


def _flush_folder(folder: Path) -> None:
    """Flush a folder (fsync(2)): only then its renames survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
