"""The general type: files that an HTTP server serves, replaced by rename in its folder."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, Optional

from harness.remotes.http import server as http_server
from harness.remotes.http.local import LocalHttp
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.waits import wait_for

from . import bare_http
from .base import Folder, Reader
from .local import LocalPlace

_USER = "demo"


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

    def put_folder(self, name: str, members: Mapping[str, bytes]) -> None:
        beside, target = self.path / f".{name}.part", self.path / name
        for path, data in members.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_bytes(data)
        # A folder is not renamed over another: it is gone for a moment.
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)

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
    def refusing(self, reader: Reader) -> Iterator[Callable[[], int]]:
        secret = secrets.token_hex(12)
        with guarded_server(reader, {_basic(secret): True}) as refused:
            _name_in_url(reader, f"wrong-{secret}")
            yield lambda: len(refused())

    @contextlib.contextmanager
    def trusting(self, reader: Reader) -> Iterator[None]:
        secret = secrets.token_hex(12)
        with guarded_server(reader, {_basic(secret): True}):
            _name_in_url(reader, secret)
            yield


def _basic(secret: str) -> str:
    """The Authorization header of a user with this password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{_USER}:{secret}".encode()).decode()


def _name_in_url(reader: Reader, secret: str) -> None:
    """Put user and password into the address, which every monitor supports."""
    scheme, _, rest = reader.options["general_host"].partition("://")
    reader.options["general_host"] = f"{scheme}://{_USER}:{secret}@{rest}"
    reader.set_secret(secret)


@contextlib.contextmanager
def guarded_server(
    reader: Reader, access: Mapping[str, bool], port: Optional[int] = None
) -> Iterator[Callable[[], list[int]]]:
    """Serve the reader's folder once more, by a server that asks for authorization.

    The monitor then gets this server's address. Yields a function that returns the statuses of
    the refusals, in order. ``access`` is that of ``harness.remotes.http.server``. Without
    ``port`` the server takes a free port.
    """
    assert isinstance(reader.remote, HttpFolder)
    log = reader.folder / "guarded-http.log"
    # One log for all such servers of a reader.
    before = log.stat().st_size if log.exists() else 0

    def refused() -> list[int]:
        # 127.0.0.1 - - [date] "GET /x/donefile HTTP/1.1" 401 -
        found = re.findall(r'" (401|403) ', log.read_text(errors="replace")[before:])
        return [int(status) for status in found]

    environment = {**os.environ, "HTTP_SERVER_ACCESS": json.dumps(dict(access))}
    with _served(reader, http_server.__name__, [], log, environment, port=port):
        yield refused


@contextlib.contextmanager
def bare_server(reader: Reader, status_file: Optional[Path] = None) -> Iterator[None]:
    """Serve the reader's folder once more, by a server that tells nothing about a file.

    The monitor then gets this server's address. While ``status_file`` exists, the server answers
    with an error.
    """
    argv = [] if status_file is None else ["--status_file", str(status_file)]
    with _served(reader, bare_http.__name__, argv, reader.folder / "bare-http.log", None):
        yield


@contextlib.contextmanager
def lying_server(reader: Reader) -> Iterator[None]:
    """Serve the reader's folder once more, with validators that say nothing.

    The ETag alternates between two values, and Last-Modified is different in every answer. The
    monitor then gets this server's address.
    """
    argv = ["--lie", "etag", "--lie", "last-modified"]
    with _served(reader, http_server.__name__, argv, reader.folder / "lying-http.log", None):
        yield


@contextlib.contextmanager
def _served(
    reader: Reader,
    module: str,
    more: list[str],
    log: Path,
    environment: Optional[dict[str, str]],
    *,
    port: Optional[int] = None,
) -> Iterator[None]:
    assert isinstance(reader.remote, HttpFolder)
    port = port or free_port()
    argv = [sys.executable, "-m", module, "--port", str(port)]
    argv += ["--folder", str(reader.remote.path.parent), *more]
    reader.options["general_host"] = f"http://127.0.0.1:{port}"
    with Process(f"the server {module}", argv, log=log, env=environment) as server:
        wait_for(lambda: is_listening(port), "the server", 20, alive=server.check)
        yield


PLACES = (HttpPlace,)
