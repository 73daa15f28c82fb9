"""Faults of the disk that holds the monitor's folders: full, no inodes, read-only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from harness.support.errors import BadInput

from . import namespace
from .base import Fault, Targets, parameter
from .disk import Disk


@dataclass(frozen=True)
class DiskFault(Fault):
    """A fault of the disk that holds the monitor's folders."""

    needs: ClassVar[frozenset[str]] = frozenset({"disk"})
    target: str = parameter("monitor", "`monitor`: the disk with its folders", choices=("monitor",))

    def require(self) -> None:
        why = namespace.why_not()
        if why is not None:
            raise BadInput(
                f"the monitor can be given no disk of its own here: {why}; use a scenario without "
                "this fault"
            )

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        if targets.disk is None:
            raise BadInput(
                f"{self.name} breaks the monitor's disk, but this run gave it no disk of its own; "
                "cause the fault in a scenario, which makes one"
            )
        self._spoil(targets.disk, at_end)

    @abstractmethod
    def _spoil(self, disk: Disk, at_end: Callable[..., object]) -> None:
        """Cause the fault; ``at_end`` takes what ends it."""


@dataclass(frozen=True)
class FullDisk(DiskFault):
    """The disk has no bytes left (ENOSPC)."""

    name: ClassVar[str] = "full-disk"
    left: int = parameter(0, "how many bytes stay free")

    def _spoil(self, disk: Disk, at_end: Callable[..., object]) -> None:
        at_end(disk.clear)
        disk.fill(self.left)


@dataclass(frozen=True)
class NoInodes(DiskFault):
    """The disk has no inodes left: a new file fails (ENOSPC), although the disk has free bytes."""

    name: ClassVar[str] = "no-inodes"
    left: int = parameter(0, "how many more files fit on the disk")

    def _spoil(self, disk: Disk, at_end: Callable[..., object]) -> None:
        at_end(disk.clear)
        disk.fill_with_files(self.left)


@dataclass(frozen=True)
class ReadOnly(DiskFault):
    """The disk, or one folder on the disk, is read-only (EROFS)."""

    name: ClassVar[str] = "read-only"
    folder: str = parameter(".", "a folder in the monitor's local path; `.` is the whole path")

    def _spoil(self, disk: Disk, at_end: Callable[..., object]) -> None:
        disk.make_read_only(self.folder)
        at_end(disk.make_writable, self.folder)
