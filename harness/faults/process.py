"""Faults of a process, or of the container in which a part of a run runs."""

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
    """The process gets SIGTERM and ends. When the fault ends, the process is started again."""

    name: ClassVar[str] = "restart"
    target: str = parameter("monitor", _TARGET)

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        part = targets.part(self.target)
        targets.goes_down(self.target)
        at_end(targets.restart, self.target)
        part.stop()


@dataclass(frozen=True)
class Pause(Fault):
    """The process is stopped (SIGSTOP); its ports stay open. When the fault ends, it continues."""

    name: ClassVar[str] = "pause"
    target: str = parameter("monitor", _TARGET)

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        part = targets.part(self.target)
        at_end(part.resume)
        part.pause()
