"""The general type: files that an HTTP server serves, replaced by rename in its folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ...ports import free_port, is_listening
from ...process import Process
from ...waits import wait_for
from .base import Folder, Place


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


class HttpPlace(Place):
    """One HTTP server on loopback."""

    name = "http"

    def __init__(self, folder: Path) -> None:
        self._root = folder / "http"
        self._port = free_port()
        self._log = folder / "http.log"
        self._server = Process(
            "the HTTP server",
            [sys.executable, "-m", "http.server", str(self._port), "--bind", "127.0.0.1"],
            log=self._log,
            cwd=self._root,
        )

    def start(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        self._server.start()
        wait_for(lambda: is_listening(self._port), "the HTTP server", 20, alive=self._server.check)

    def stop(self) -> None:
        self._server.stop()

    def folder(self, name: str) -> HttpFolder:
        path = self._root / name
        path.mkdir()
        return HttpFolder(
            path,
            {
                "type": "general",
                "general_host": f"http://127.0.0.1:{self._port}",
                "remote_path": name,
            },
        )

    def down(self) -> None:
        self._server.stop()

    def up(self) -> None:
        if not self._server.running:
            self.start()

    def cut_after(self, size: int) -> None:
        raise NotImplementedError

    def silent_after(self, size: int) -> None:
        raise NotImplementedError

    def held(self) -> int:
        raise NotImplementedError

    def go_on(self) -> None:
        raise NotImplementedError

    @property
    def logs(self) -> list[Path]:
        return [self._log]
