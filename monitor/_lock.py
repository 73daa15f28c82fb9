"""One lock file that only one process of all hosts can have.

Normally by flock(2): such a lock ends with its process. Some filesystems refuse that (NFS without a
lock manager: ENOLCK; Lustre without ``-o flock``: ENOSYS). There the lock is a second file,
``PATH.owner``, which is created exclusively and names its owner. Such a lock outlives a killed
process, and what is known of the owner decides:

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

REFUSED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# The pid namespace of a host itself has this number in every kernel (PROC_PID_INIT_INO).
_HOST_PIDS = "pid:[4026531836]"
_EVERY_S = 0.02
# How long another process may take that breaks the same lock.
_BREAKING_S = 5.0


class Taken(Exception):
    """Somebody else has the lock. ``broken_if_asked``: it may be a dead one of another host."""

    def __init__(self, owner: str, *, broken_if_asked: bool = False) -> None:
        super().__init__(owner)
        self.broken_if_asked = broken_if_asked


@dataclass(frozen=True)
class Owner:
    """A process of one host. ``started`` is in ticks since the boot, as /proc/PID/stat has it."""

    host: str
    machine: str
    boot: str
    pid_namespace: str
    pid: int
    started: str

    @staticmethod
    def here() -> Owner:
        """This process."""
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
        """The owner that a file names; None when it names none. Raises ``FileNotFoundError``."""
        try:
            with open(path, encoding="utf-8") as file:
                return Owner(**json.load(file))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError):
            return None

    def is_gone(self, here: Owner) -> Optional[bool]:
        """Whether the process has ended, as a process that is ``here`` can tell; else None."""
        if (self.host, self.machine) != (here.host, here.machine):
            return None
        if self.boot != here.boot:
            # Without a machine id it may be another host of the same name; in a container both may
            # be those of the image.
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
        self._owner_path = f"{path}.owner"
        self._refused = refused
        self._file: Optional[IO[str]] = None
        self._owner: Optional[Owner] = None

    def take(self, wait_s: float, foreign_s: float, *, break_foreign: bool = False) -> None:
        """Takes the lock, for which it waits at most ``wait_s`` seconds.

        For a lock of which nobody here can tell whether its owner lives it waits ``foreign_s``,
        and breaks it then with ``break_foreign``. Raises ``Taken``, ``OSError``.
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
        # The number is for people; a full disk must not keep a model from being watched.
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()

    def release(self) -> None:
        """Gives the lock back. Safe to repeat."""
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
        """Waits until no owner is named. Raises ``Taken``."""
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
        """Removes the file, if it still names ``owner``."""
        with _only_one(self._owner_path) as alone:
            # Of two that saw a dead owner, the later must not remove the lock of the earlier.
            if alone:
                with contextlib.suppress(FileNotFoundError):
                    if Owner.read(self._owner_path) == owner:
                        os.unlink(self._owner_path)


def is_held(path: str) -> bool:
    """Whether a process has the lock at ``path``, as far as can be told."""
    try:
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in REFUSED:
            return True
    try:
        owner = Owner.read(f"{path}.owner")
    except FileNotFoundError:
        return False
    return owner is None or not owner.is_gone(Owner.here())


@contextlib.contextmanager
def _only_one(path: str) -> Iterator[bool]:
    """Whether this process alone is in here for ``path``, of all on this host.

    By the name of a socket, which needs no filesystem and ends with the process.
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
    """When a process started; "" when there is none, None when that is hidden."""
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
    # A zombie does nothing any more, but its parent may not have looked yet.
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
