"""A private mount namespace for a monitor: a small disk, a read-only disk, a mount point.

An idle process holds the namespace. nsenter(1) starts the monitor in the namespace, and the harness
sees its files through ``/proc/PID/root``. When the idle process ends, the mounts are gone. No other
program can see the mounts. An ordinary user also gets a user namespace, in which the monitor runs
as root. Needs util-linux and, without root, a kernel that allows user namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from harness.support.errors import Failed
from harness.support.process import Process
from harness.support.waits import wait_for

_HOLD = "mount --make-rshared / && exec sleep infinity"


def why_not() -> Optional[str]:
    """Return why this machine cannot make a mount namespace; None if it can."""
    missing = [name for name in ("unshare", "nsenter", "mount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed (package util-linux)"
    tried = [*_unshare(), "mount", "-t", "tmpfs", "none", "/tmp"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    needs = "a mount" if os.geteuid() == 0 else "root or user namespaces for a mount"
    return f"needs {needs}: {done.stderr.strip()}"


def _unshare() -> list[str]:
    # Without root the right to mount comes with a user namespace.
    return ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]


class Namespace:
    """One private mount namespace, held until ``close``."""

    def __init__(self, log: Path) -> None:
        own = os.readlink("/proc/self/ns/mnt")
        self._holder = Process(
            "the mount namespace",
            # Shared with namespaces below this one (a monitor may make its own), not with ours.
            [*_unshare(), "--propagation", "private", "sh", "-c", _HOLD],
            log=log,
        )
        self._holder.start()

        def ready() -> bool:
            pids = self._holder.pids
            return bool(pids) and os.readlink(f"/proc/{pids[0]}/ns/mnt") != own

        wait_for(ready, "a mount namespace", 10, retry_on=(OSError,), alive=self._holder.check)
        self._pid = self._holder.pids[0]
        wait_for(self._holds, "the namespace's own mounts", 10, alive=self._holder.check)

    @property
    def prefix(self) -> list[str]:
        """What to put before a command so that it runs in the namespace."""
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(self._pid), *user, "-m", "--"]

    def seen(self, path: Path) -> Path:
        """Return where this process sees ``path`` of the namespace."""
        return Path(f"/proc/{self._pid}/root{path}")

    def mount(self, *words: str) -> None:
        """Run ``mount WORDS…`` in the namespace. Raise ``Failed`` if it fails."""
        self._in_it(["mount", *words])

    def make_read_only(self, path: Path) -> None:
        """Mount a read-only view of ``path`` over ``path``.

        The kernel refuses to remount ``path`` while a monitor holds a lock file open. A namespace
        below this one gets each new mount, but no later change of a mount. So the view is made
        read-only elsewhere before it is mounted here.
        """
        beside = path.with_name(path.name + "-read-only")
        self.seen(beside).mkdir(exist_ok=True)
        self.mount("--bind", str(path), str(beside))
        self.mount("-o", "remount,bind,ro", str(beside))
        self.mount("--bind", str(beside), str(path))

    def make_writable(self, path: Path) -> None:
        """End ``make_read_only``."""
        self._in_it(["umount", "-l", str(path)])

    def _holds(self) -> bool:
        return Path(f"/proc/{self._pid}/comm").read_text().strip() == "sleep"

    def _in_it(self, words: Sequence[str]) -> None:
        done = subprocess.run([*self.prefix, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(words)} failed in the namespace: {done.stderr.strip()}")

    def close(self) -> None:
        """End the holder, and with it all mounts of the namespace."""
        self._holder.stop()
