"""A lock on a file that only one process of all hosts can hold.

The lock is normally one of flock(2), which ends with its process. Some filesystems refuse flock
(NFS without a lock manager: ENOLCK; Lustre without ``-o flock``: ENOSYS). There the lock is a
second file, ``PATH.owner``. It is created exclusively and names its owner. This file outlives a
killed process, so the owner decides:

| the owner is | the lock is |
| --- | --- |
| this host's, same boot, same pid namespace; process and start time are there | held |
| this host's, same boot, same pid namespace; the process is gone, or started later | broken |
| this host's, of an earlier boot, with a machine id and not in a container | broken |
| another host's, another container's, hidden, or not readable | held; broken if asked to |
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Callable, Optional

from ..errors import Taken
from .layout import OWNER

REFUSED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# The pid namespace of a host itself has this number in every kernel (PROC_PID_INIT_INO).
_HOST_PIDS = "pid:[4026531836]"
_EVERY_S = 0.02
# How long another process may take to break the same lock.
_BREAKING_S = 5.0


@dataclass(frozen=True)
class Owner:
    """A process of one host. ``started`` is field 22 of /proc/PID/stat: ticks since the boot."""

    # The host's name.
    host: str
    # The host's machine id; empty if it has none.
    machine: str
    # The id of the boot.
    boot: str
    # The namespace in which ``pid`` is valid.
    pid_namespace: str
    # The process's number.
    pid: int
    started: str

    @staticmethod
    def here() -> Owner:
        """Return this process."""
        return Owner(
            socket.gethostname(),
            _text("/etc/machine-id"),
            _text("/proc/sys/kernel/random/boot_id"),
            _link("/proc/self/ns/pid"),
            os.getpid(),
            _started(os.getpid()) or "",
        )

    @staticmethod
    def read(path: str) -> Optional[Owner]:
        """Return the owner that a file names, or None. Raises ``FileNotFoundError``."""
        try:
            with open(path, encoding="utf-8") as file:
                return Owner(**json.load(file))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError):
            return None

    def is_gone(self, here: Owner) -> Optional[bool]:
        """Return whether the process has ended, or None when ``here`` cannot tell."""
        if (self.host, self.machine) != (here.host, here.machine):
            return None
        if self.boot != here.boot:
            # Without a machine id this may be another host of the same name. In a container both
            # may come from the image.
            return True if here.machine and here.pid_namespace == _HOST_PIDS else None
        if self.pid_namespace != here.pid_namespace:
            return None
        started = _started(self.pid)
        return None if started is None else started != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}"


class Lock:
    """The lock at ``path``; not shared between threads."""

    def __init__(self, path: str, refused: Callable[[OSError], None] = lambda error: None) -> None:
        """``refused`` is told when the filesystem has no locks."""
        self._path = path
        self._owner_path = f"{path}{OWNER}"
        self._refused = refused
        self._file: Optional[IO[str]] = None
        self._owner: Optional[Owner] = None

    def take(self, wait_s: float, foreign_s: float, *, break_foreign: bool = False) -> None:
        """Take the lock.

        Args:
            wait_s: How long to wait for an owner on this host, in seconds.
            foreign_s: How long to wait, in seconds, when this host cannot tell whether the owner
                still runs.
            break_foreign: Break such a lock after ``foreign_s``.

        Raises:
            Taken: Another process has the lock.
            OSError: The lock file cannot be made.
        """
        now = time.monotonic()
        deadline, foreign = now + wait_s, now + foreign_s
        file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115
        try:
            self._flock(file, deadline)
            self._free(deadline, foreign, break_foreign)
        except OSError as error:
            file.close()
            if error.errno not in REFUSED:
                raise
            self._refused(error)
            self._create(deadline, foreign, break_foreign)
            return
        except BaseException:
            file.close()
            raise
        self._file = file
        # People read the number. If the disk is full, the lock is held all the same.
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()

    def release(self) -> None:
        """Release the lock. Safe to repeat."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._owner is not None:
            owner, self._owner = self._owner, None
            with contextlib.suppress(OSError):
                if Owner.read(self._owner_path) == owner:
                    os.unlink(self._owner_path)

    def _flock(self, file: IO[str], deadline: float) -> None:
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise Taken(f"process {file.read(32).strip() or 'unknown'}") from None
            time.sleep(_EVERY_S)

    def _create(self, deadline: float, foreign: float, break_foreign: bool) -> None:
        owner = Owner.here()
        content = json.dumps(asdict(owner)).encode()
        while True:
            try:
                handle = os.open(self._owner_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._free(deadline, foreign, break_foreign)
                continue
            try:
                os.write(handle, content)
                os.fsync(handle)
            except OSError:
                os.unlink(self._owner_path)
                raise
            finally:
                os.close(handle)
            self._owner = owner
            return

    def _free(self, deadline: float, foreign: float, break_foreign: bool) -> None:
        """Wait until no file names an owner. Raises ``Taken``."""
        here = Owner.here()
        while True:
            try:
                owner = Owner.read(self._owner_path)
            except FileNotFoundError:
                return
            gone = owner.is_gone(here) if owner is not None else None
            late = time.monotonic() >= (foreign if gone is None else deadline)
            breakable = gone or (gone is None and break_foreign and late)
            if breakable and time.monotonic() < max(deadline, foreign) + _BREAKING_S:
                self._break(owner)
            elif late or breakable:
                raise Taken(str(owner or "of unknown number"), broken_if_asked=gone is None)
            time.sleep(_EVERY_S)

    def _break(self, owner: Optional[Owner]) -> None:
        """Remove the owner file, if it still names ``owner``."""
        with _only_one(self._owner_path) as alone:
            # Two processes may see the same dead owner: the later must not remove the new lock.
            if alone:
                with contextlib.suppress(FileNotFoundError):
                    if Owner.read(self._owner_path) == owner:
                        os.unlink(self._owner_path)


def is_held(path: str) -> bool:
    """Return whether a process has the lock at ``path``, as far as this host can tell."""
    try:
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (*REFUSED, errno.ENOENT):
            return True
    try:
        owner = Owner.read(f"{path}{OWNER}")
    except FileNotFoundError:
        return False
    return owner is None or not owner.is_gone(Owner.here())


@contextlib.contextmanager
def _only_one(path: str) -> Iterator[bool]:
    """Yield whether this process is the only one of this host in this block for ``path``.

    The guard is the name of a socket: it needs no filesystem and ends with the process.
    """
    name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as guard:
        try:
            guard.bind(f"\0serving-monitor-{name}")
        except OSError:
            yield False
        else:
            yield True


def _started(pid: int) -> Optional[str]:
    """Return a process's start time; "" for no such process, None when it is hidden."""
    stat = _text(f"/proc/{pid}/stat")
    if not stat:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except (PermissionError, OverflowError):
            return None
    # After the name in brackets, which may hold anything, comes field 3.
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended, although its parent has not collected it yet.
    return "" if len(fields) < 20 or fields[0] in "ZX" else fields[22 - 3]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
