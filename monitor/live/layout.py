"""Where the monitor writes for one live directory, its lock, and what a killed run left behind.

local_path/MODEL                      the live directory
local_path/.MODEL.staging-ID          a release being completed (same filesystem)
local_path/.MODEL.monitor/lock        held while a monitor runs
local_path/.MODEL.monitor/swap.lock   held for a swap, by a monitor or a rollback
local_path/.MODEL.monitor/….owner     takes the place of a lock on a filesystem without locks
local_path/.MODEL.monitor/…           {quarantine,hold,announced,validators}.json, kept/, ugi-….xml
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import math
import os
import secrets
from collections.abc import Iterator
from typing import Optional

from ..disk import machine_error, remove
from ..errors import BadOption, MachineError, Taken
from ..log import logger
from .lock import Lock

# The end of the name of a staging folder that holds a kept release, or the one that it replaces.
ROLLBACK = ".rollback"
# Follows the tarball's name in the name of the folder that ``hadoop fs -get`` writes to.
FETCHED = ".get-"
# Files in the monitor's own folder that hold a secret while a program needs it.
SECRET_PREFIX = "ugi-"


class Folder:
    """The places that belong to one live directory."""

    def __init__(self, live: str, *, break_lock: bool = False) -> None:
        """Name the places. ``break_lock`` is ``break_foreign`` of ``Lock.take``."""
        self.live = live
        self.parent = os.path.dirname(live) or "."
        self.name = os.path.basename(live)
        self.control = os.path.join(self.parent, f".{self.name}.monitor")
        self.quarantine = os.path.join(self.control, "quarantine.json")
        self.hold = os.path.join(self.control, "hold.json")
        self.announced = os.path.join(self.control, "announced.json")
        self.validators = os.path.join(self.control, "validators.json")
        self.kept = os.path.join(self.control, "kept")
        self._break_lock = break_lock
        self._said_no_locks = False
        self._lock: Optional[Lock] = None

    @property
    def _staging_prefix(self) -> str:
        return f".{self.name}.staging-"

    def staging_name(self, end: str = "") -> str:
        """A path for a staging folder that nothing has yet."""
        return os.path.join(self.parent, f"{self._staging_prefix}{secrets.token_hex(4)}{end}")

    def new_staging(self) -> str:
        """Makes an empty staging folder, for this user only until it is complete."""
        path = self.staging_name()
        os.mkdir(path, 0o700)
        return path

    def stagings(self) -> list[str]:
        """Staging folders that lie there."""
        with os.scandir(self.parent) as entries:
            found = [entry.path for entry in entries if entry.name.startswith(self._staging_prefix)]
        return sorted(found)

    def part(self, tmp: str, remote_model_name: str) -> str:
        """The file that a release is pulled to; no other live directory has the same."""
        mine = hashlib.sha256(os.path.realpath(self.live).encode("utf-8", "surrogateescape"))
        name = remote_model_name.rpartition("/")[2]
        return os.path.join(tmp, f"{name}.{mine.hexdigest()[:8]}.part")

    def prepare(self) -> None:
        """Makes the monitor's own folder. Raises ``BadOption``."""
        try:
            os.makedirs(self.control, exist_ok=True)
        except OSError as error:
            wrong = machine_error(
                "make",
                self.control,
                error,
                "let this user write in --local_path",
            )
            raise BadOption(str(wrong)) from None

    def lock(self) -> None:
        """Takes the lock against a second monitor. Raises ``BadOption`` when there is one."""
        self.prepare()
        path = os.path.join(self.control, "lock")
        lock = Lock(path, self._say_no_locks)
        try:
            lock.take(_LOCK_S, _LOCK_S, break_foreign=self._break_lock)
        except Taken as taken:
            more = "; if it has ended, start with --break_lock" if taken.broken_if_asked else ""
            raise BadOption(
                f"another monitor ({taken}) already watches {self.live}; end that one first{more}"
            ) from None
        except OSError as error:
            wrong = machine_error("lock", path, error, "check its permissions and its filesystem")
            raise BadOption(str(wrong)) from None
        self._lock = lock

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock is not None

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextlib.contextmanager
    def swapping(self) -> Iterator[None]:
        """Keep a rollback and a swap apart: wait for the other one.

        Raises:
            MachineError: This host cannot tell whether the other one still runs.
        """
        path = os.path.join(self.control, "swap.lock")
        lock = Lock(path, self._say_no_locks)
        try:
            lock.take(math.inf, _FOREIGN_SWAP_S, break_foreign=self._break_lock)
        except Taken as taken:
            raise MachineError(
                "lock", path, f"{taken} has it", "if it has ended, use --break_lock"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _say_no_locks(self, error: OSError) -> None:
        if not self._said_no_locks:
            self._said_no_locks = True
            logger.warning(
                "the filesystem of %s has no locks (%s): a file that names the owner replaces them",
                self.control,
                error.strerror,
            )

    def clean(self, tmp: str, remote_model_name: str) -> list[str]:
        """Remove what a killed run left, and return the paths. Needs the lock.

        A release that a rollback took out of ``kept`` stays, for ``_kept.rescue``.
        """
        left = [path for path in self.stagings() if not path.endswith(ROLLBACK)]
        part = self.part(tmp, remote_model_name)
        ours = [part, part + ".tree", part + ".donefile"]
        ours += glob.glob(f"{glob.escape(part)}{FETCHED}*")
        ours += glob.glob(os.path.join(glob.escape(self.control), f"{SECRET_PREFIX}*"))
        left += [path for path in ours if os.path.lexists(path)]
        for path in left:
            remove(path)
        return left


# ``status`` may hold the lock this long while it asks who has it.
_LOCK_S = 0.3
# A swap on another host takes less, unless it copies a model into a mount.
_FOREIGN_SWAP_S = 60.0
