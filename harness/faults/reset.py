"""Reset: connections break, and new ones break when the client sends bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, Targets
from .relay import REQUESTS, Lane


@dataclass(frozen=True)
class Reset(NetworkFault):
    """Connections are reset (RST). New connections are accepted, and reset at their first bytes."""

    name: ClassVar[str] = "reset"
    # Fixed: the first bytes of a connection are its request.
    direction: str = dataclasses.field(default=REQUESTS, init=False)

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        async for part in parts:
            lane.cut()
            yield part

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        super()._start(targets, at_end)
        for gate in targets.gates_of(self.target):
            gate.reset()
