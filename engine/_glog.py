"""Log files as glog makes them: names, symlinks, header, lines.

A line of a severity goes into the files of that severity and of all below. Every line is written
at once.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Optional

INFO, WARNING, ERROR = range(3)
_NAMES = ("INFO", "WARNING", "ERROR")
_PROGRAM = "serving"


def stamp(now: float) -> str:
    """Return ``mmdd hh:mm:ss.uuuuuu``; ``now`` is in seconds since the epoch."""
    second = int(now)
    return f"{_second(second)}{min(999_999, round((now - second) * 1e6)):06d}"


@functools.lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%m%d %H:%M:%S.", time.localtime(second))


class Log:
    """The log of one process. All methods may be called from any thread.

    A line that cannot be written is dropped: a full disk must not end the service.

    Args:
        folder: Where the files are made; it is created when it is missing.

    Raises:
        OSError: No file can be made there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host = socket.gethostname()
        try:
            self._user = getpass.getuser()
        except (KeyError, OSError):
            # glog's own word for a user id without a name.
            self._user = "unknown-user"
        self._files: list[Optional[int]] = [None] * len(_NAMES)
        self._lock = threading.Lock()
        # The thread that serves requests.
        self.tid = threading.get_native_id()
        folder.mkdir(parents=True, exist_ok=True)
        self._open(INFO)

    def _open(self, severity: int) -> int:
        now = time.localtime()
        name = (
            f"{_PROGRAM}.{self._host}.{self._user}.log.{_NAMES[severity]}."
            f"{time.strftime('%Y%m%d-%H%M%S', now)}.{os.getpid()}"
        )
        header = (
            f"Log file created at: {time.strftime('%Y/%m/%d %H:%M:%S', now)}\n"
            f"Running on machine: {self._host}\n"
            "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
        )
        descriptor = os.open(
            self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o664
        )
        try:
            os.write(descriptor, header.encode())
        except OSError:
            os.close(descriptor)
            raise
        link = self._folder / f"{_PROGRAM}.{_NAMES[severity]}"
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        with contextlib.suppress(OSError):
            link.symlink_to(name)
        self._files[severity] = descriptor
        return descriptor

    def write(self, severity: int, where: str, message: str, tid: Optional[int] = None) -> None:
        """Write one line.

        Args:
            severity: ``INFO``, ``WARNING`` or ``ERROR``.
            where: The file and line of the real server's source, ``file:line``.
            message: The text. It may hold names from a client, so control characters are escaped.
            tid: The thread's number; without it, this thread's.
        """
        number = threading.get_native_id() if tid is None else tid
        if not message.isprintable():
            message = "".join(
                one if one.isprintable() else one.encode("unicode_escape").decode()
                for one in message
            )
        line = f"{_NAMES[severity][0]}{stamp(time.time())} {number:5d} {where}] {message}\n"
        self._put(line, severity)
        if severity >= ERROR:
            # stderr may be closed (ValueError), and its reader gone (OSError).
            with contextlib.suppress(OSError, ValueError):
                print(line, end="", file=sys.stderr, flush=True)

    def info_line(self, where: str, message: str, tid: Optional[int] = None) -> None:
        self.write(INFO, where, message, tid)

    def warning_line(self, where: str, message: str, tid: Optional[int] = None) -> None:
        self.write(WARNING, where, message, tid)

    def error_line(self, where: str, message: str, tid: Optional[int] = None) -> None:
        self.write(ERROR, where, message, tid)

    def info_text(self, lines: str) -> None:
        """Write INFO lines that are complete, with their stamps and line ends."""
        self._put(lines, INFO)

    def _put(self, lines: str, severity: int) -> None:
        data = lines.encode()
        with self._lock:
            # INFO comes last, as in glog: a line in INFO is already in the other files.
            for level in range(severity, -1, -1):
                with contextlib.suppress(OSError):
                    descriptor = self._files[level]
                    os.write(self._open(level) if descriptor is None else descriptor, data)
