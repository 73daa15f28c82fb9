"""Faults of a process, or of the container that a part of a run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from .base import Fault, Targets, parameter

_TARGET = "`monitor`, `server`, `producer`, `remote`, or a service of the remote"


@dataclass(frozen=True)
class Kill(Fault):
    """The process gets SIGKILL. When the fault ends, the process is started again."""

    name: ClassVar[str] = "kill"
    target: str = parameter("monitor", _TARGET)

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        part = targets.part(self.target)
        targets.goes_down(self.target)
        at_end(targets.restart, self.target)
        part.kill()


@dataclass(frozen=True)
class Restart(Fault):
    """The process is ended in order (SIGTERM). When the fault ends, it is started again."""

    name: ClassVar[str] = "restart"
    target: str = parameter("monitor", _TARGET)

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        part = targets.part(self.target)
        targets.goes_down(self.target)
        at_end(targets.restart, self.target)
        part.stop()


@dataclass(frozen=True)
class Pause(Fault):
    """The process stands still (SIGSTOP): its ports stay open. When the fault ends, it goes on."""

    name: ClassVar[str] = "pause"
    target: str = parameter("monitor", _TARGET)

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        part = targets.part(self.target)
        at_end(part.resume)
        part.pause()
