"""Clock step: the clock of one process is set forward or back; the machine's clock stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from harness.support.errors import BadInput

from . import clock
from .base import Fault, Targets, parameter


@dataclass(frozen=True)
class ClockStep(Fault):
    """The clock of one process is set forward or back. When the fault ends, it is right again."""

    name: ClassVar[str] = "clock-step"
    needs: ClassVar[frozenset[str]] = frozenset({"clock"})
    target: str = parameter("monitor", "`monitor` or `producer`", choices=("monitor", "producer"))
    seconds: int = parameter(
        -3600, "how far the clock is ahead, in seconds; a negative number sets it back", least=-1e9
    )

    def require(self) -> None:
        why = clock.why_not()
        if why is not None:
            raise BadInput(
                f"no process here can be given a clock of its own: {why}; use a scenario without "
                "this fault"
            )

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        own = targets.clock_of(self.target)
        at_end(own.set, 0)
        own.set(self.seconds)
