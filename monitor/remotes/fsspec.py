"""Anything fsspec reads (``--type fsspec --remote_url s3://bucket/folder``), an optional extra."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from ..errors import BadOption, MonitorError, ReleaseError, RemoteError
from ..stop import Stop
from .base import CHUNK, DONEFILE_LIMIT, Download, Entry, Remote, Sighting, join, too_many

if TYPE_CHECKING:
    from ..options.fields import Options

_T = TypeVar("_T")
# Keys under which file systems give a file's version. Each file system has only some of them.
_VERSIONS = ("ETag", "etag", "VersionId", "generation", "md5Hash", "fileId", "unique", "ino",
             "mtime", "modificationTime", "modify", "LastModified", "last_modified", "updated",
             "created", "Content-MD5", "Digest")  # fmt: skip
# How many bytes one request brings. A store such as S3 takes 20 to 100 ms for a request.
_BLOCK = 4 * 1024 * 1024


class FsspecRemote(Remote):
    """One file system of fsspec with one base path."""

    def __init__(self, options: Options, stop: Stop) -> None:
        self._options = options
        self._stop = stop
        try:
            import fsspec
        except ImportError:
            raise BadOption(
                "--type fsspec needs fsspec; in the checkout, type "
                "`pip install './monitor[fsspec]'`"
            ) from None
        self._fsspec = fsspec
        self._files: Any = None
        self._base = ""
        # What the last look found.
        self._seen: Optional[Sighting] = None

    def describe(self) -> list[tuple[str, str]]:
        return [("_remote_url", str(self._options.remote_url))]

    def look(self, name: str) -> Optional[Sighting]:
        path = self._path(name)
        with self._guard("read", name):
            try:
                self._seen = self._within(_sight, self._files, path, self._seen)
                return self._seen
            except FileNotFoundError:
                return None

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        path = self._path(name)
        with self._guard("pull", name):
            info = self._within(_info, self._files, path)
            now = _mark(info)
            start = offset if offset and mark == now else 0
            file = self._within(_begin, self._files, path, start)
        # Another file may have the same size, so without a version no pull is resumed.
        known = now if _versions(info) else ""
        body = self._body(file, name, path, info)
        return Download(start, info.get("size"), known, body, lambda: _let_go(file))

    def tree(self, name: str, most: int) -> list[Entry]:
        top = self._path(name)
        found: list[Entry] = []
        seen = 0
        with self._guard("list", name):
            steps = self._files.walk(top, detail=True)
            while True:
                step = self._within(next, steps, None)
                if step is None:
                    break
                _, folders, files = step
                seen += len(folders) + len(files)
                if seen > most:
                    raise too_many(name, most)
                below = [info for info in files.values() if info["name"].startswith(f"{top}/")]
                for info in below:
                    self._check_link(name, info, top)
                found += [Entry(info["name"][len(top) + 1 :], info.get("size")) for info in below]
        return found

    def _check_link(self, name: str, info: dict[str, Any], top: str) -> None:
        """Raise ``ReleaseError`` for a link that must not be copied as its target.

        On this machine a link may lead to any file that the monitor may read, such as a key. Other
        file systems follow links themselves, among the files that they serve.
        """
        if not info.get("islink"):
            return
        target = os.path.realpath(info["name"])
        allowed = [os.path.realpath(folder) for folder in (self._base or "/", top)]
        if all(os.path.commonpath([target, folder]) != folder for folder in allowed):
            cause = "leads out of --remote_url"
        elif os.path.isdir(target):
            cause = "leads to a folder"
        else:
            return
        raise ReleaseError(
            "pull",
            name,
            f"{os.path.basename(info['name'])!r} in it is a symbolic link that {cause}",
            "publish the link's target in its place",
        )

    def close(self) -> None:
        self._files = None

    def _path(self, name: str) -> str:
        with self._guard("reach", name):
            if self._files is None:
                url = self._options.remote_url.reveal()
                # No caches: an old listing would hide a release, and a cached file system may have
                # failed before.
                self._files, base = self._within(
                    lambda: self._fsspec.core.url_to_fs(
                        url, use_listings_cache=False, skip_instance_cache=True
                    )
                )
                self._base = str(base).rstrip("/")
        return f"{self._base}/{join(self._options.remote_path, name).lstrip('/')}"

    def _within(self, call: Callable[..., _T], *given: Any) -> _T:
        """Return what ``call`` returns, or raise ``TimeoutError``.

        File systems have time-outs under many names, and some have none. So a thread waits for the
        call. A thread whose call never returns is left behind with what it holds.
        """
        self._stop.check()
        outcome: Future[_T] = Future()

        def work() -> None:
            try:
                outcome.set_result(call(*given))
            except BaseException as error:
                outcome.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        if not wait([outcome], self._options.timeout).done:
            raise TimeoutError("nothing came within the time-out")
        return outcome.result()

    def _body(
        self, file: Any, name: str, path: str, before: dict[str, Any]
    ) -> Generator[bytes, None, None]:
        try:
            with self._guard("pull", name):
                while True:
                    chunk: bytes = self._within(file.read, CHUNK)
                    if not chunk:
                        break
                    yield chunk
                # Many file systems fetch each block by the name, which may be another file's now.
                after = self._within(_info, self._files, path)
                if (_versions(after), after.get("size")) != (_versions(before), before.get("size")):
                    raise RemoteError(
                        "pull",
                        f"{self._options.remote_url}/{name}",
                        "the file was replaced while it was read",
                        "it is pulled again; publish less often than a pull takes",
                    )
        finally:
            _let_go(file)

    @contextlib.contextmanager
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


def _info(files: Any, path: str) -> dict[str, Any]:
    files.invalidate_cache()
    info: dict[str, Any] = files.info(path)
    return info


def _sight(files: Any, path: str, seen: Optional[Sighting]) -> Sighting:
    info = _info(files, path)
    mark = _mark(info)
    # S3 promises another ETag for other content. A web server's may be a time in whole seconds.
    if seen is not None and seen.mark == mark and "s3" in files.protocol and info.get("ETag"):
        return seen
    with files.open(path, "rb") as file:
        return Sighting(file.read(DONEFILE_LIMIT), mark)


def _begin(files: Any, path: str, start: int) -> Any:
    file = files.open(path, "rb", block_size=_BLOCK)
    file.seek(start)
    return file


def _let_go(file: Any) -> None:
    """Close a file without waiting for it, because an abandoned call may still hold it."""

    def close() -> None:
        with contextlib.suppress(Exception):
            file.close()

    threading.Thread(target=close, daemon=True).start()


def _versions(info: dict[str, Any]) -> list[str]:
    return [f"{key}={info[key]}" for key in _VERSIONS if info.get(key) is not None]


def _mark(info: dict[str, Any]) -> str:
    # Some web servers give another time in every answer, so a time counts only without a version.
    versions = _versions(info) or [str(info.get("Last-Modified") or "")]
    return "|".join([*filter(None, versions), f"size={info.get('size')}"])
