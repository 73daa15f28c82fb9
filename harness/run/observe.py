"""Watches a live directory and two logs, and writes what happens into the history.

Works with any monitor and any server. A swap shows in the live directory (which model files it
holds), a pull in the monitor's INFO messages, and a reload in ``serving.INFO``. One thread looks
every ``LOOK_S`` seconds; an event's time is when it was seen.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from harness.checker.history import History
from harness.support.errors import Failed

LOOK_S = 0.01
# A monitor can make a live directory that cannot be opened; the open then gives one of these.
_NO_MODEL = (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.ENAMETOOLONG)
# What stands in serving.INFO when a release goes in (see docs/serving.md): idle ticks say
# "Succ reload version engine" as well, so that line proves nothing.
_SERVER_LINES = ("begin reload model[", "switching to current_idx[", "Finish reload")


def model_digest(folder: int) -> str:
    """SHA-256 over the names and bytes of a model's files, given the folder's descriptor.

    Hidden files and the time file are left out: they say which release it is, and are not it.
    """
    total = hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or name == "fluid_time_file":
            continue
        # A FIFO would wait for its writer.
        file = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                continue
            with open(file, "rb", closefd=False) as stream:
                content = stream.read()
        finally:
            os.close(file)
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def _files(folder: int) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when a model file is replaced or written over: cheap, for every look."""
    found = []
    for name in sorted(os.listdir(folder)):
        if not name.startswith(".") and name != "fluid_time_file":
            file = os.stat(name, dir_fd=folder)
            found.append((name, file.st_ino, file.st_size, file.st_mtime_ns))
    return tuple(found)


def digest_of(folder: Path) -> str:
    """``model_digest`` of a path. The folder is resolved once, so an exchange cannot mix two."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return model_digest(descriptor)
    finally:
        os.close(descriptor)


class Tail:
    """The lines that were added to a text file since the last look; the file may not be there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""
        self._file: Optional[tuple[int, int]] = None

    def new_lines(self) -> Iterator[str]:
        try:
            with self.path.open("rb") as file:
                now = os.fstat(file.fileno())
                # serving.INFO is a link, and points at another file after a restart.
                if (now.st_dev, now.st_ino) != self._file or now.st_size < self._offset:
                    self._file, self._offset, self._rest = (now.st_dev, now.st_ino), 0, b""
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


class Observer:
    """Watches one remote's leg of a run until ``stop``.

    Records these events:

    - ``monitor_log``: every line
    - ``server_log``: the lines of a reload, and every error
    - ``swapped``: ``digest`` of the model files, ``second`` of the time file, ``moved`` when the
      folder was exchanged away during the read
    """

    def __init__(
        self, history: History, remote: str, *, live_dir: Path, monitor_log: Path, server_log: Path
    ) -> None:
        self._history = history
        self._remote = remote
        self._live_dir = live_dir
        self._monitor = Tail(monitor_log)
        self._server = Tail(server_log)
        self._seen: object = None
        self._reloading = False
        self._done = threading.Event()
        self._broken: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name=f"observe {remote}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raises ``Failed`` when watching has come to an end by itself."""
        if self._broken is not None:
            error = f"{type(self._broken).__name__}: {self._broken}"
            raise Failed(f"the observer of {self._remote} failed: {error}") from self._broken

    def stop(self) -> None:
        """Looks a last time and ends. Raises ``Failed`` when it had ended before."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.check()

    def _run(self) -> None:
        try:
            while not self._done.wait(LOOK_S):
                self._look()
            self._look()
        except BaseException as error:
            # Kept for stop(): a run whose observer died must not pass.
            self._broken = error
            with contextlib.suppress(Failed):
                why = f"{type(error).__name__}: {error}"
                self._history.record("observer_ended", remote=self._remote, why=why)

    def _look(self) -> None:
        # The log first: a pull is told before the swap that follows it.
        for line in self._monitor.new_lines():
            self._history.record("monitor_log", remote=self._remote, line=line)
        self._look_at_live_directory()
        for line in self._server.new_lines():
            self._server_line(line)

    def _server_line(self, line: str) -> None:
        if "begin reload model[" in line:
            self._reloading = True
        wanted = line.startswith("E") or (self._reloading and any(x in line for x in _SERVER_LINES))
        if "Finish reload" in line:
            self._reloading = False
        if wanted:
            self._history.record("server_log", remote=self._remote, line=line)

    def _look_at_live_directory(self) -> None:
        try:
            self._look_inside()
        except (FileNotFoundError, NotADirectoryError):
            return  # a swap or a file change is under way
        except OSError as error:
            if error.errno not in _NO_MODEL:
                raise
            found = {"digest": f"unreadable: {error.strerror}", "second": 0, "moved": False}
            if found != self._seen:
                self._seen = found
                self._history.record("swapped", remote=self._remote, **found)

    def _look_inside(self) -> None:
        descriptor = os.open(self._live_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            tag = os.stat("fluid_time_file", dir_fd=descriptor)
            now = (os.fstat(descriptor).st_ino, int(tag.st_mtime), _files(descriptor))
            if now == self._seen:
                return
            digest = model_digest(descriptor)
            moved = os.stat(self._live_dir).st_ino != now[0]
        finally:
            os.close(descriptor)
        self._seen = now
        found = {"digest": digest, "second": now[1], "moved": moved}
        self._history.record("swapped", remote=self._remote, **found)
