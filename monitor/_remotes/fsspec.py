"""Anything fsspec reads (``--type fsspec --remote_url s3://bucket/folder``), an optional extra."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

from ..errors import BadOption, MonitorError, RemoteError
from .base import CHUNK, DONEFILE_LIMIT, Download, Entry, Remote, Sighting, Stop, join, too_many

if TYPE_CHECKING:
    from .._options import Options

# What the file systems call a file's version, finest first; which of them there are differs.
_FACTS = ("ETag", "etag", "VersionId", "generation", "md5Hash", "mtime", "LastModified",
          "last_modified", "updated", "created", "size")  # fmt: skip


class FsspecRemote(Remote):
    """One file system of fsspec with one base path."""

    def __init__(self, options: Options, stop: Stop) -> None:
        self._options = options
        self._stop = stop
        try:
            import fsspec
        except ImportError:
            raise BadOption(
                "--type fsspec needs fsspec; install serving-hot-loading-monitor[fsspec]"
            ) from None
        self._fsspec = fsspec
        self._files: Any = None
        self._base = ""

    def describe(self) -> list[tuple[str, str]]:
        return [("_remote_url", str(self._options.remote_url))]

    def look(self, name: str) -> Optional[Sighting]:
        path = self._path(name)
        with self._guard("read", name):
            try:
                info = self._info(path)
                with self._files.open(path, "rb") as file:
                    content = file.read(DONEFILE_LIMIT)
            except FileNotFoundError:
                return None
            return Sighting(content, _mark(info))

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        path = self._path(name)
        with self._guard("pull", name):
            info = self._info(path)
            now = _mark(info)
            start = offset if offset and mark == now else 0
            size = info.get("size")
            file = self._files.open(path, "rb", block_size=CHUNK)
            file.seek(start)
        return Download(start, size, now, self._body(file, name), file.close)

    def tree(self, name: str, most: int) -> list[Entry]:
        top = self._path(name)
        found: list[Entry] = []
        seen = 0
        with self._guard("list", name):
            for _, folders, files in self._files.walk(top, detail=True):
                seen += len(folders) + len(files)
                if seen > most:
                    raise too_many(name, most)
                below = [info for info in files.values() if info["name"].startswith(f"{top}/")]
                found += [Entry(info["name"][len(top) + 1 :], info.get("size")) for info in below]
        return found

    def close(self) -> None:
        self._files = None

    def _path(self, name: str) -> str:
        with self._guard("reach", name):
            if self._files is None:
                url = self._options.remote_url.reveal()
                # Listings must not come from a cache: they are what is watched.
                self._files, base = self._fsspec.core.url_to_fs(url, use_listings_cache=False)
                self._base = str(base).rstrip("/")
        return f"{self._base}/{join(self._options.remote_path, name).lstrip('/')}"

    def _info(self, path: str) -> dict[str, Any]:
        self._files.invalidate_cache()
        info: dict[str, Any] = self._files.info(path)
        return info

    def _body(self, file: Any, name: str) -> Generator[bytes, None, None]:
        with self._guard("pull", name), file:
            while True:
                self._stop.check()
                chunk: bytes = file.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    @contextmanager
    def _guard(self, operation: str, name: str) -> Iterator[None]:
        try:
            yield
        except MonitorError:
            raise
        except ImportError as error:
            raise BadOption(
                f"--remote_url needs another package: {error}; install it beside the monitor"
            ) from None
        except Exception as error:
            # Every file system has exceptions of its own; none of them may end the monitor.
            self.close()
            where = f"{self._options.remote_url}/{name}"
            cause = "no such file" if isinstance(error, FileNotFoundError) else error
            raise RemoteError(operation, where, cause, "check --remote_url") from error


def _mark(info: dict[str, Any]) -> str:
    return "|".join(f"{key}={info[key]}" for key in _FACTS if info.get(key) is not None)
