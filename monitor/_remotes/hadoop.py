"""HDFS and AFS through ``hadoop fs`` (``--type hdfs`` and ``afs``), never through a shell.

A JVM starts in 1 to 5 seconds, so a poll should take one. The last donefile decides which: when
it had a manifest, ``-cat`` (its content says everything); otherwise ``-stat`` (time in
milliseconds and length), and a second one for ``-cat`` unless the file is empty. Upstream reads
``-ls``, which shows minutes.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Callable, Optional, Union
from xml.sax.saxutils import escape

from .. import manifest
from .._folder import SECRET_PREFIX, Folder
from .._log import logger
from .._secrets import environment_without_secrets
from ..errors import RemoteError
from .base import CHUNK, DONEFILE_LIMIT, Download, Entry, Remote, Sighting, Stop, join, too_many

if TYPE_CHECKING:
    from .._options import Options

_ABSENT = re.compile(r"no such file or directory|does not exist", re.IGNORECASE)
# log4j lines and the JVM's own notices are not the reason why a command failed.
_NOISE = re.compile(r"(^\d{4}-\d\d-\d\d |^\d\d/\d\d/\d\d |^\s*at |WARN|INFO|SLF4J|OpenJDK|log4j)")
# A JVM needs seconds before it says anything at all.
_START_S = 10.0
_STAT = "%Y %b"


class HadoopRemote(Remote):
    """One file system behind a ``hadoop`` command."""

    def __init__(self, options: Options, stop: Stop) -> None:
        self._options = options
        self._stop = stop
        self._base = options.remote_path
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._conf: Optional[str] = None
        self._seen: Optional[Sighting] = None

    def describe(self) -> list[tuple[str, str]]:
        options = self._options
        shown = f"{options.hadoop_bin} fs"
        if options.fs_name:
            shown += f" -D fs.default.name={options.fs_name}"
        if options.fs_ugi.reveal():
            shown += f" -D hadoop.job.ugi={options.fs_ugi}"
        return [
            ("_hadoop_bin", options.hadoop_bin),
            ("_fs_name", options.fs_name),
            ("_fs_ugi", str(options.fs_ugi)),
            ("AFS prefix cmd", shown),
        ]

    def look(self, name: str) -> Optional[Sighting]:
        path = join(self._base, name)
        seen = self._seen
        if seen is not None and manifest.parse(seen.content) is not None:
            content = self._cat(path)
            if content is not None and manifest.parse(content) is not None:
                self._seen = Sighting(content, seen.mark)
                return self._seen
            if content is None:
                self._seen = None
                return None
        mark = self._stat("read", path)
        # Of an empty file there is nothing to read. Any other is read at every poll: its time can
        # be set, and a file moved over it brings its own.
        content = b"" if mark is None or mark.endswith(" 0") else self._cat(path)
        self._seen = None if mark is None or content is None else Sighting(content, mark)
        return self._seen

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        path = join(self._base, name)
        size: Optional[int] = None
        if manifest.parse(self._seen.content if self._seen else b"") is None:
            # Nothing else will say how long the file is; one more JVM.
            stat = self._stat("pull", path)
            if stat is None:
                raise self._missing(path)
            length = stat.rpartition(" ")[2]
            size = int(length) if length.isdigit() else None
        return Download(0, size, "", self._stream(path))

    def tree(self, name: str, most: int) -> list[Entry]:
        top = join(self._base, name)
        code, out, err = self._run("list", top, ["-ls", "-R", top])
        if code != 0:
            raise RemoteError("list", top, _why(err, code), _HINT)
        found = []
        seen = 0
        for line in out.decode("utf-8", "replace").splitlines():
            fields = line.split(None, 7)
            seen += len(fields) == 8
            if seen > most:
                raise too_many(name, most)
            if len(fields) == 8 and fields[0].startswith("-"):
                _, _, below = fields[7].partition(top.rstrip("/") + "/")
                found.append(Entry(below, int(fields[4]) if fields[4].isdigit() else None))
        return found

    def fetch_tree(self, name: str, target: str) -> bool:
        """One JVM for the whole folder instead of two for each file, unless a rate is asked for,
        to which ``-get`` cannot be held."""
        if self._options.rate_limit:
            return False
        path = join(self._base, name)
        # It says nothing while it copies: what shows that it is alive is what it writes.
        code, _, err = self._run("pull", path, ["-get", path, target], lambda: _size(target))
        if code != 0:
            if _absent(err, path):
                raise self._missing(path)
            raise RemoteError("pull", path, _why(err, code), _HINT)
        return True

    def close(self) -> None:
        self.interrupt()
        self._process = None
        if self._conf is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._conf)
            self._conf = None

    def interrupt(self) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _argv(self, words: list[str]) -> list[str]:
        options = self._options
        argv = [options.hadoop_bin, "fs"]
        if options.fs_ugi.reveal():
            # In AFS the second half is a password: a file of ours, not the process list.
            argv += ["-conf", self._ugi_file()]
        if options.fs_name:
            argv += ["-D", f"fs.default.name={options.fs_name}"]
        return [*argv, *words]

    def _ugi_file(self) -> str:
        if self._conf is None:
            # In the monitor's own folder, where the next start finds what a kill left.
            control = Folder(self._options.live).control
            os.makedirs(control, exist_ok=True)
            handle, self._conf = tempfile.mkstemp(".xml", SECRET_PREFIX, control)
            value = escape(self._options.fs_ugi.reveal())
            with os.fdopen(handle, "w") as conf:
                conf.write(
                    "<configuration><property><name>hadoop.job.ugi</name>"
                    f"<value>{value}</value></property></configuration>\n"
                )
        return self._conf

    def _environment(self) -> dict[str, str]:
        environment = environment_without_secrets()
        user = self._options.fs_ugi.reveal().partition(",")[0]
        if user:
            # What current Hadoop goes by; it ignores hadoop.job.ugi.
            environment.setdefault("HADOOP_USER_NAME", user)
        return environment

    def _start(self, operation: str, path: str, words: list[str]) -> subprocess.Popen[bytes]:
        self._stop.check()
        shown = shlex.join([self._options.hadoop_bin, "fs", *words])
        logger.debug("%s cmd: %s", operation, shown)
        try:
            self._process = subprocess.Popen(
                self._argv(words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                # A group of its own, so that the JVM behind the shell script dies with it.
                start_new_session=True,
            )
        except OSError as error:
            raise RemoteError(
                "run", self._options.hadoop_bin, error, "check --hadoop_bin"
            ) from None
        return self._process

    def _output(
        self,
        process: subprocess.Popen[bytes],
        path: str,
        errors: bytearray,
        progress: Callable[[], object] = lambda: None,
    ) -> Iterator[bytes]:
        """Standard output as it comes; standard error is gathered; silence has an end, unless
        ``progress`` gives something else than at the last time that it was asked."""
        assert process.stdout is not None
        assert process.stderr is not None
        quiet_since = time.monotonic()
        reached = progress()
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            ready.register(process.stderr, selectors.EVENT_READ)
            while ready.get_map():
                self._stop.check()
                for key, _ in ready.select(0.2):
                    chunk = os.read(key.fd, CHUNK)
                    quiet_since = time.monotonic()
                    if not chunk:
                        ready.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        yield chunk
                        quiet_since = time.monotonic()
                    elif len(errors) < CHUNK:
                        errors += chunk
                if time.monotonic() - quiet_since > self._options.timeout + _START_S:
                    before, reached = reached, progress()
                    if reached != before:
                        quiet_since = time.monotonic()
                        continue
                    raise RemoteError(
                        "read", path, "hadoop fs was silent for longer than the time-out", _HINT
                    )

    @contextlib.contextmanager
    def _running(
        self, operation: str, path: str, words: list[str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        process = self._start(operation, path, words)
        try:
            yield process
        finally:
            if process.poll() is None:
                self.interrupt()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait()
            self._process = None

    def _run(
        self,
        operation: str,
        path: str,
        words: list[str],
        progress: Callable[[], object] = lambda: None,
    ) -> tuple[int, bytes, bytes]:
        errors = bytearray()
        with self._running(operation, path, words) as process:
            out = bytearray()
            for chunk in self._output(process, path, errors, progress):
                out += chunk
            code = process.wait()
        logger.debug("resp: %s", bytes(out[:200]).decode("utf-8", "replace").strip())
        return code, bytes(out), bytes(errors)

    def _stat(self, operation: str, path: str) -> Optional[str]:
        code, out, err = self._run("check", path, ["-stat", _STAT, path])
        if code == 0:
            return out.decode("utf-8", "replace").strip()
        if _absent(err, path):
            return None
        raise RemoteError(operation, path, _why(err, code), _HINT)

    def _cat(self, path: str) -> Optional[bytes]:
        code, out, err = self._run("check", path, ["-cat", path])
        if code == 0:
            return out[:DONEFILE_LIMIT]
        if _absent(err, path):
            return None
        raise RemoteError("read", path, _why(err, code), _HINT)

    def _stream(self, path: str) -> Generator[bytes, None, None]:
        errors = bytearray()
        with self._running("pull", path, ["-cat", path]) as process:
            yield from self._output(process, path, errors)
            code = process.wait()
        if code != 0:
            if _absent(errors, path):
                raise self._missing(path)
            raise RemoteError("pull", path, _why(bytes(errors), code), _HINT)

    @staticmethod
    def _missing(path: str) -> RemoteError:
        return RemoteError(
            "pull", path, "HDFS has no such file", "check --remote_path and --remote_model_name"
        )


_HINT = "check --hadoop_bin, --fs_name and that HDFS is up"


def _absent(errors: Union[bytes, bytearray], path: str) -> bool:
    """Whether the shell's own command says of ``path`` that there is no such file.

    Not whether anything is missing: a launcher without its Java says that with the same words.
    """
    said = rf"(cat|get|ls|stat): (.*[\s`'\"])?([\w-]+://[^/\s]*)?{re.escape(path)}(?![\w/-]|\.\w)"
    lines = errors.decode("utf-8", "replace").splitlines()
    return any(re.match(said, line) and _ABSENT.search(line) for line in lines)


def _size(folder: str) -> int:
    """Bytes of all files below ``folder``, into which another process writes and renames."""
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(where, name)).st_size
    return size


def _why(errors: bytes, code: int) -> str:
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines()]
    telling = [line for line in lines if line and not _NOISE.search(line)]
    return telling[-1] if telling else f"hadoop fs ended with exit code {code}"
