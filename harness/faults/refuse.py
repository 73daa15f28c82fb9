"""Refuse: the service seems not to listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from .base import Fault, Targets, parameter


@dataclass(frozen=True)
class Refuse(Fault):
    """Connections are reset (RST), and new connections are refused.

    The end of this fault also ends all other faults of the same gate.
    """

    name: ClassVar[str] = "refuse"
    needs: ClassVar[frozenset[str]] = frozenset({"gate"})
    target: str = parameter("remote", "`remote`, or the name of one of its services")

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        for gate in targets.gates_of(self.target):
            at_end(gate.open)
            gate.close()
