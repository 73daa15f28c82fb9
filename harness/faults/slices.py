"""Slices: bytes arrive in tiny segments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, direction, parameter
from .relay import ANSWERS, Lane


@dataclass(frozen=True)
class Slices(NetworkFault):
    """Bytes arrive in tiny TCP segments with a pause between them."""

    name: ClassVar[str] = "slices"
    direction: str = direction(ANSWERS)
    size: int = parameter(7, "average size of a segment, in bytes; each size is random", least=1)
    pause_ms: float = parameter(1.0, "the pause after each segment, in milliseconds")

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        async for part in parts:
            begin = 0
            while begin < len(part):
                end = begin + lane.random.randint(1, 2 * self.size - 1)
                yield part[begin:end]
                begin = end
                await lane.sleep(self.pause_ms / 1000)
