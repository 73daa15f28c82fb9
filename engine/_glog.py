"""Log files as glog makes them: names, symlinks, header, lines.

``format_line`` and the naming functions are pure; ``Log`` does the writing. Lines of one batch of
requests are collected and written with one call (``flush``); every other line is written at once.
A line of a severity goes into the files of that severity and of all below, as glog does.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

INFO, WARNING, ERROR, FATAL = range(4)
_NAMES = ("INFO", "WARNING", "ERROR", "FATAL")
_LETTERS = "IWEF"


def file_name(program: str, host: str, user: str, severity: int, *, now: float, pid: int) -> str:
    """``serving.<host>.<user>.log.<SEVERITY>.<YYYYMMDD-HHMMSS>.<pid>``."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{program}.{host}.{user}.log.{_NAMES[severity]}.{stamp}.{pid}"


def header(host: str, now: float) -> str:
    """The three lines at the top of every file."""
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(now))
    return (
        f"Log file created at: {stamp}\n"
        f"Running on machine: {host}\n"
        "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n"
    )


class Stamps:
    """``mmdd hh:mm:ss.uuuuuu``; the part that changes once a second is kept."""

    def __init__(self) -> None:
        # Both in one value, so that no thread sees one of another second.
        self._kept = (-1, "")

    def __call__(self, now: float) -> str:
        second = int(now)
        kept = self._kept
        if second != kept[0]:
            kept = (second, time.strftime("%m%d %H:%M:%S.", time.localtime(second)))
            self._kept = kept
        return f"{kept[1]}{min(999_999, round((now - second) * 1e6)):06d}"


class Log:
    """The log of one process. All methods may be called from any thread.

    ``folder`` is made when it is missing. Making the log raises ``OSError`` when no file can be
    made there; after that a line that cannot be written is dropped, and nothing raises.
    """

    def __init__(
        self,
        folder: Path,
        program: str = "serving",
        *,
        to_stderr: bool = False,
        also_to_stderr: bool = False,
        stderr_threshold: int = ERROR,
        lowest: int = INFO,
    ) -> None:
        self._folder = folder
        self._program = program
        self._only_stderr = to_stderr
        self._stderr_from = INFO if to_stderr or also_to_stderr else stderr_threshold
        self._lowest = lowest
        self._host = socket.gethostname()
        try:
            self._user = getpass.getuser()
        except (KeyError, OSError):
            # glog's own word for a user id without a name
            self._user = "unknown-user"
        self._files: list[Optional[int]] = [None] * len(_NAMES)
        self._lock = threading.Lock()
        self._pending: list[str] = []
        self.stamp = Stamps()
        # of the thread that serves requests
        self.tid = threading.get_native_id()
        self.requests_logged = lowest <= INFO
        if not to_stderr:
            folder.mkdir(parents=True, exist_ok=True)
            self._open(INFO)

    def _open(self, severity: int) -> int:
        now = time.time()
        name = file_name(self._program, self._host, self._user, severity, now=now, pid=os.getpid())
        descriptor = os.open(
            self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o664
        )
        try:
            os.write(descriptor, header(self._host, now).encode())
        except OSError:
            os.close(descriptor)
            raise
        link = self._folder / f"{self._program}.{_NAMES[severity]}"
        # glog removes and links anew; it never follows what stands there.
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        with contextlib.suppress(OSError):
            link.symlink_to(name)
        self._files[severity] = descriptor
        return descriptor

    def write(self, severity: int, where: str, message: str, tid: Optional[int] = None) -> None:
        """One line, now. ``where`` is ``file:line``; ``tid`` is this thread's when not given."""
        self.write_all([(severity, where, message, tid)])

    def write_all(self, entries: Sequence[tuple[int, str, str, Optional[int]]]) -> None:
        """Several lines, now, with one call for each file that they go to."""
        now = time.time()
        own = threading.get_native_id()
        lines = [
            (
                severity,
                f"{_LETTERS[severity]}{self.stamp(now)} {own if tid is None else tid:5d} "
                f"{where}] {_on_one_line(message)}\n",
            )
            for severity, where, message, tid in entries
            if severity >= self._lowest
        ]
        with self._lock:
            self._flush_pending()
            for level in range(len(_NAMES)):
                text = "".join(line for severity, line in lines if severity >= level)
                if text:
                    self._put(level, text.encode())
        shown = "".join(line for severity, line in lines if severity >= self._stderr_from)
        if shown:
            _show(shown)

    def info_line(self, where: str, message: str, tid: Optional[int] = None) -> None:
        self.write(INFO, where, message, tid)

    def warning_line(self, where: str, message: str, tid: Optional[int] = None) -> None:
        self.write(WARNING, where, message, tid)

    def error_line(self, where: str, message: str, tid: Optional[int] = None) -> None:
        self.write(ERROR, where, message, tid)

    def collect(self, lines: str) -> None:
        """INFO lines, complete and with their line ends, kept until ``flush``."""
        self._pending.append(lines)

    def flush(self) -> None:
        """Writes what was collected, in one call."""
        if self._pending:
            with self._lock:
                self._flush_pending()

    def _flush_pending(self) -> None:
        # ``collect`` takes no lock: the list stays the same one, and only what is read here goes.
        count = len(self._pending)
        if count:
            text = "".join(self._pending[:count])
            del self._pending[:count]
            self._put(INFO, text.encode())
            if self._stderr_from == INFO:
                _show(text)

    def _put(self, severity: int, data: bytes) -> None:
        if self._only_stderr:
            return
        # A full disk, a folder that is gone and too many open files must not end the service;
        # glog drops the line as well.
        with contextlib.suppress(OSError):
            descriptor = self._files[severity]
            if descriptor is None:
                descriptor = self._open(severity)
            os.write(descriptor, data)


def _on_one_line(message: str) -> str:
    """Names that a client made up stand in messages, and may not look like lines of their own."""
    if message.isprintable():
        return message
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in message
    )


def _show(text: str) -> None:
    """To stderr, whose reader may be gone (OSError) and which may be closed (ValueError)."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
