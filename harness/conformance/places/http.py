"""The general type: files that an HTTP server serves, replaced by rename in its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ...remotes.http import LocalHttp
from .base import Folder
from .local import LocalPlace


class HttpFolder(Folder):
    """A folder below the server's document root."""

    def __init__(self, path: Path, options: Mapping[str, str]) -> None:
        self.path = path
        self.options = options

    def put(self, name: str, data: bytes, *, second: Optional[int] = None) -> None:
        beside = self.path / f".{name}.part"
        beside.write_bytes(data)
        if second is not None:
            os.utime(beside, (second, second))
        os.replace(beside, self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()

    def second(self, name: str) -> int:
        return int((self.path / name).stat().st_mtime)

    def touch(self, name: str, second: int) -> None:
        os.utime(self.path / name, (second, second))


class HttpPlace(LocalPlace):
    """One HTTP server with Last-Modified, ETag and ranges."""

    name = "http"

    def __init__(self, folder: Path) -> None:
        self._http = LocalHttp(folder)
        super().__init__(self._http)

    def _make_folder(self, name: str, options: Mapping[str, str]) -> HttpFolder:
        path = self._http.data / name
        path.mkdir()
        return HttpFolder(path, options)
