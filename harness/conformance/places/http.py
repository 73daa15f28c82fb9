"""The general type: files that an HTTP server serves, replaced by rename in its folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ...ports import free_port, is_listening
from ...process import Process
from ...remotes.http import LocalHttp
from ...waits import wait_for
from . import bare_http
from .base import Folder
from .local import LocalPlace

if TYPE_CHECKING:
    from ..stage import Stage


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


@contextlib.contextmanager
def bare_server(stage: Stage, status_file: Optional[Path] = None) -> Iterator[None]:
    """The stage's folder served once more, by a server that tells nothing about a file; the
    monitor will be pointed there. While ``status_file`` exists it answers with an error."""
    assert isinstance(stage.remote, HttpFolder)
    port = free_port()
    argv = [sys.executable, "-m", bare_http.__name__, "--port", str(port)]
    argv += ["--folder", str(stage.remote.path.parent)]
    if status_file is not None:
        argv += ["--status_file", str(status_file)]
    stage.options["general_host"] = f"http://127.0.0.1:{port}"
    with Process("the bare HTTP server", argv, log=stage.folder / "bare-http.log") as server:
        wait_for(lambda: is_listening(port), "the bare server", 20, alive=server.check)
        yield
