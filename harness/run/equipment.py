"""Disks and clocks that parts of a leg need from their start, so that faults can break them later.

A disk fault needs a private disk for the monitor. A clock step needs a private clock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from harness.faults.base import Fault
from harness.faults.clock import Clock
from harness.faults.disk import Disk
from harness.faults.namespace import Namespace

_DISK = "size=64m,nr_inodes=2000"


@dataclass(frozen=True)
class Equipment:
    """The private disk and clocks of the parts of a leg.

    Attributes:
        disk: Holds the monitor's local path, and so the live directory. The server has to load
            the live directory from ``disk.seen``.
        clocks: The private clocks, by the name of the part.
    """

    disk: Optional[Disk] = None
    clocks: Mapping[str, Clock] = field(default_factory=dict)

    def command(self, argv: list[str]) -> list[str]:
        """Return the monitor's command, so that it runs on its own disk if it has one."""
        if self.disk is None:
            return argv
        # Entering a mount namespace changes the working directory.
        move = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.disk.folder)]
        return [*self.disk.prefix, *move, *argv]

    def environment(self, part: str) -> dict[str, str]:
        """Return the variables that a part needs to go by its own clock."""
        return self.clocks[part].environment if part in self.clocks else {}


@contextlib.contextmanager
def equipped(faults: Iterable[Fault], folder: Path) -> Iterator[Equipment]:
    """Yield the equipment that these faults need.

    Args:
        faults: All faults that the leg will cause.
        folder: The leg's folder; the disk is at ``folder/disk``.

    Raises:
        BadInput: This machine cannot cause one of them.
    """
    faults = list(faults)
    for fault in faults:
        fault.require()
    folder.mkdir(parents=True, exist_ok=True)
    clocks = {}
    for target in {fault.target for fault in faults if "clock" in fault.needs}:
        own = folder / f"clock-{target}"
        own.mkdir(exist_ok=True)
        clocks[target] = Clock(own)
    if not any("disk" in fault.needs for fault in faults):
        yield Equipment(clocks=clocks)
        return
    namespace = Namespace(folder / "namespace.log")
    try:
        yield Equipment(Disk(namespace, folder.absolute() / "disk", _DISK), clocks)
    finally:
        namespace.close()
