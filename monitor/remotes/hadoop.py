"""HDFS and AFS through ``hadoop fs`` (``--type hdfs`` and ``afs``), never through a shell.

A JVM starts in 1 to 5 seconds, so a poll should need only one. The last donefile decides which. If
it had a manifest, the poll runs ``-get``, because the content says everything. Otherwise it runs
``-stat`` (time in milliseconds and length), and then ``-get`` unless the file is empty. Upstream
reads ``-ls``, which shows minutes.

``hadoop`` is often a user's own script. It may print lines before and after the command's output,
or end with another exit code. So content comes in files, lines are recognised by their form, and an
exit code of 0 alone proves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Callable, Optional, Union
from xml.sax.saxutils import escape

from .. import manifest
from ..disk import remove
from ..errors import RemoteError
from ..live.layout import FETCHED, SECRET_PREFIX, Layout
from ..log import logger
from ..options.secrets import environment_without_secrets
from ..stop import Stop
from .base import (
    CHUNK,
    DONEFILE_LIMIT,
    Download,
    Entry,
    Remote,
    Sighting,
    join,
    split_host,
    too_many,
)

if TYPE_CHECKING:
    from ..options.fields import Options

_ABSENT = re.compile(r"no such file or directory|does not exist", re.IGNORECASE)
# log4j lines and the JVM's own notices are not the reason why a command failed.
_NOISE = re.compile(r"(^\d{4}-\d\d-\d\d |^\d\d/\d\d/\d\d |^\s*at |WARN|INFO|SLF4J|OpenJDK|log4j)")
# A JVM needs seconds before it says anything at all.
_START_S = 10.0
# The format for -stat. No banner contains this name. It has no space, because a script may pass on
# its arguments unquoted.
_STAT = "serving-monitor:%Y:%b:%F"
_STATUS = re.compile(r"serving-monitor:(?P<ms>\d+):(?P<length>\d+):(?P<folder>directory)?")
# A line of -ls -R. Users' names may have spaces, so the length is the number before the date.
_LISTED = re.compile(
    r"(?P<kind>[-dl])[-rwxsStT]{9}[+.@]?\s+(?:\d+|-)\s+\S.*?\s(?P<size>\d+)\s+"
    r"\d{4}-\d\d-\d\d\s+\d\d:\d\d(?::\d\d)? (?P<path>.+)"
)
_COMPLAINT = re.compile(r"(?<!\S)(cat|get|ls|stat): .*")
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


class _Absent(RemoteError):
    """The shell says that there is no such file."""


class HadoopRemote(Remote):
    """One file system behind a ``hadoop`` command."""

    def __init__(self, options: Options, stop: Stop) -> None:
        self._options = options
        self._stop = stop
        self._base = options.remote_path
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._conf: Optional[str] = None
        self._seen: Optional[Sighting] = None
        part = Layout(options.live).part(options.tmp, options.remote_model_name)
        # The target of -get. The path is absolute, because a script may change the working
        # directory. It has a random part: a second monitor on the same model must not remove it.
        self._folder = os.path.abspath(f"{part}{FETCHED}{secrets.token_hex(4)}")
        self._target = os.path.join(self._folder, "file")

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
            content = self._content(path)
            if content is not None and manifest.parse(content) is not None:
                self._seen = Sighting(content, seen.mark)
                return self._seen
            if content is None:
                self._seen = None
                return None
        mark = self._stat("read", path)
        # An empty file is not read. Any other file is read at every poll, because its time proves
        # nothing. A program can set the time, and a file that is moved keeps its time.
        content = b"" if mark is None or mark.endswith(" 0") else self._content(path)
        self._seen = None if mark is None or content is None else Sighting(content, mark)
        return self._seen

    def open(self, name: str, offset: int = 0, mark: str = "") -> Download:
        path = join(self._base, name)
        size: Optional[int] = None
        if manifest.parse(self._seen.content if self._seen else b"") is None:
            # No manifest says how long the file is: ask with one more JVM.
            stat = self._stat("pull", path)
            if stat is None:
                raise self._missing(path)
            length = stat.rpartition(" ")[2]
            size = int(length) if length.isdigit() else None
        if self._options.rate_limit:
            return Download(0, size, "", self._stream(path))
        return Download(0, size, "", self._fetch("pull", path), self._clear, self._target)

    def tree(self, name: str, most: int) -> list[Entry]:
        top = join(self._base, name)
        code, out, said = self._run("list", top, ["-ls", "-R", top])
        if code != 0 or _complaints(said):
            raise RemoteError("list", top, _why(said, code), _HINT)
        found = []
        seen = 0
        bare = re.escape(split_host(top)[1].rstrip("/"))
        below = re.compile(rf"(?:[\w+.-]+://[^/]*)?{bare}/(.+)")
        for line in out.decode("utf-8", "replace").split("\n"):
            match = _LISTED.search(line)
            path = below.fullmatch(match["path"]) if match else None
            if match is None or path is None:
                continue
            seen += 1
            if seen > most:
                raise too_many(name, most)
            if match["kind"] == "-":
                found.append(Entry(path[1], int(match["size"])))
        return found

    def fetch_tree(self, name: str, target: str) -> bool:
        """Fetch the whole folder with one JVM instead of two for each file.

        With ``--rate_limit`` return False, because ``-get`` cannot be slowed down.
        """
        if self._options.rate_limit:
            return False
        path, target = join(self._base, name), os.path.abspath(target)
        # -get prints nothing while it copies. Only the files that it writes show progress.
        code, _, said = self._run("pull", path, ["-get", path, target], lambda: _size(target))
        if code != 0 or _complaints(said) or not os.path.isdir(target):
            raise self._failed("pull", path, said, code)
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
        self._clear()

    def _clear(self) -> None:
        with contextlib.suppress(OSError):
            remove(self._folder)

    def _make_folder(self) -> None:
        remove(self._folder)
        os.makedirs(self._folder)

    def _argv(self, words: list[str]) -> list[str]:
        options = self._options
        argv = [options.hadoop_bin, "fs"]
        if options.fs_ugi.reveal():
            # In AFS the second half is a password. A file hides it from the process list.
            argv += ["-conf", self._ugi_file()]
        if options.fs_name:
            argv += ["-D", f"fs.default.name={options.fs_name}"]
        return [*argv, *words]

    def _ugi_file(self) -> str:
        if self._conf is None:
            # In the monitor's own folder, where the next start finds what a kill left.
            control = os.path.abspath(Layout(self._options.live).control)
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
            # Current Hadoop takes the user from this variable and ignores hadoop.job.ugi.
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
        """Yield standard output as it comes, and an empty piece five times a second.

        Standard error goes into ``errors``. Too long a silence raises ``RemoteError``, unless the
        value of ``progress`` changed meanwhile.
        """
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
                begun = time.monotonic()
                yield b""
                quiet_since += time.monotonic() - begun
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
    ) -> tuple[int, bytes, list[str]]:
        """Run a command; return exit code, standard output and messages (see ``_lines``)."""
        errors = bytearray()
        with self._running(operation, path, words) as process:
            out = bytearray()
            for chunk in self._output(process, path, errors, progress):
                out += chunk
            code = process.wait()
        logger.debug("resp: %s", bytes(out[:200]).decode("utf-8", "replace").strip())
        return code, bytes(out), _lines(errors, out)

    def _stat(self, operation: str, path: str) -> Optional[str]:
        """Return time in milliseconds and length, or None when there is no such file."""
        code, out, said = self._run("check", path, ["-stat", _STAT, path])
        found = _STATUS.search(out.decode("utf-8", "replace"))
        if code == 0 and found is not None:
            if found["folder"]:
                raise RemoteError(operation, path, "it is a folder", "check its name")
            return f"{found['ms']} {found['length']}"
        if _absent(said, path):
            return None
        raise RemoteError(operation, path, _why(said, code), _HINT)

    def _content(self, path: str) -> Optional[bytes]:
        """Return the beginning of a donefile, None when there is no such file.

        The rest does not come to this machine: a wrong name may be the name of a huge file.
        """
        content = b""
        try:
            with contextlib.closing(self._fetch("read", path)) as pieces:
                for piece in pieces:
                    content += piece
                    if len(content) >= DONEFILE_LIMIT:
                        break
        except _Absent:
            return None
        finally:
            self._clear()
        return content[:DONEFILE_LIMIT]

    def _fetch(self, operation: str, path: str) -> Generator[bytes, None, None]:
        """Let ``-get`` write ``_target``, and yield the bytes as they arrive there."""
        self._make_folder()
        errors, out = bytearray(), bytearray()
        with contextlib.ExitStack() as files:
            file: Optional[IO[bytes]] = None

            def pieces() -> Iterator[bytes]:
                nonlocal file
                if file is None:
                    file = _opened(self._target)
                    if file is not None:
                        files.enter_context(file)
                while file is not None:
                    piece = file.read(CHUNK)
                    if not piece:
                        return
                    yield piece

            with self._running(operation, path, ["-get", path, self._target]) as process:
                for said in self._output(process, path, errors, lambda: _size(self._folder)):
                    out += said[: CHUNK - len(out)]
                    yield from pieces()
                code = process.wait()
            if code != 0 or not os.path.isfile(self._target):
                raise self._failed(operation, path, _lines(errors, out), code)
            yield from pieces()
            if file and not os.path.samestat(os.fstat(file.fileno()), os.stat(self._target)):
                # The target is not the file that was read and hashed.
                raise RemoteError(operation, path, "hadoop fs began anew while it wrote", _HINT)

    def _stream(self, path: str) -> Generator[bytes, None, None]:
        """Yield the bytes of ``-cat``. The command waits for its reader, so a rate can be kept.

        The command prints a random word before and after the content, to mark its ends.
        """
        word = secrets.token_hex(16).encode()
        mark = os.path.join(self._folder, "mark")
        errors, held, inside, whole = bytearray(), bytearray(), False, False
        try:
            self._make_folder()
            with open(mark, "wb") as file:
                file.write(word)
            words = ["-cat", f"file://{mark}", path, f"file://{mark}"]
            with self._running("pull", path, words) as process:
                for chunk in self._output(process, path, errors):
                    held += b"" if whole else chunk
                    if not inside:
                        _, begin, rest = held.partition(word)
                        inside = bool(begin)
                        held = rest if inside else held[-len(word) :]
                    if inside and not whole:
                        content, end, _ = held.partition(word)
                        whole = bool(end)
                        if not whole:
                            # The word may come in two chunks.
                            content = held[: 1 - len(word)]
                        del held[: len(content)]
                        if content:
                            yield bytes(content)
                code = process.wait()
        finally:
            self._clear()
        if code != 0 or not whole:
            raise self._failed("pull", path, _lines(errors), code)

    def _failed(self, operation: str, path: str, said: Sequence[str], code: int) -> Exception:
        """Return the error for a command that did not fetch ``path``."""
        if _absent(said, path):
            return self._missing(path)
        if any(_NO_SPACE.search(line) for line in _complaints(said)):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return RemoteError(operation, path, _why(said, code), _HINT)

    @staticmethod
    def _missing(path: str) -> RemoteError:
        return _Absent(
            "pull", path, "HDFS has no such file", "check --remote_path and --remote_model_name"
        )


_HINT = "check --hadoop_bin, --fs_name and that HDFS is up"


def _lines(errors: Union[bytes, bytearray], out: Union[bytes, bytearray] = b"") -> list[str]:
    """Return a command's messages: standard error, and complaints in standard output.

    Some scripts merge both streams.
    """
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines()]
    return [*filter(None, lines), *_complaints(out.decode("utf-8", "replace").splitlines())]


def _complaints(said: Sequence[str]) -> list[str]:
    """Return the error messages of Hadoop's shell; other text may precede one in its line."""
    found = map(_COMPLAINT.search, said)
    return [match[0].strip() for match in found if match is not None]


def _absent(said: Sequence[str], path: str) -> bool:
    """Return whether Hadoop's shell says that ``path`` does not exist.

    The message must name ``path``, with any host or without one: a launcher without its Java prints
    the same words.
    """
    bare = re.escape(split_host(path)[1])
    of_it = rf"\w+: (.*[\s`'\"])?([\w-]+://[^/\s]*)?{bare}(?![\w/-]|\.\w)"
    complaints = _complaints(said)
    return any(re.match(of_it, line) and _ABSENT.search(line) for line in complaints)


def _opened(target: str) -> Optional[IO[bytes]]:
    """Open the file that ``-get`` writes. Hadoop gives it another name until it is complete."""
    for path in (f"{target}._COPYING_", target):
        with contextlib.suppress(FileNotFoundError):
            return open(path, "rb")
    return None


def _size(folder: str) -> int:
    """Return the bytes of all files below ``folder``, while another process writes there."""
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(where, name)).st_size
    return size


def _why(said: Sequence[str], code: int) -> str:
    telling = _complaints(said) or [line for line in said if not _NOISE.search(line)]
    return telling[-1] if telling else f"hadoop fs ended with exit code {code}"
