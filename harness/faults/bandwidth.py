"""Bandwidth: limits how many bytes a second pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, direction, parameter
from .relay import BOTH, Lane


@dataclass(frozen=True)
class Bandwidth(NetworkFault):
    """Each direction of each connection passes at most `rate` bytes a second."""

    name: ClassVar[str] = "bandwidth"
    direction: str = direction(BOTH)
    rate: float = parameter(64_000.0, "bytes a second", least=1)

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        # A few bytes at a time give a steady rate instead of bursts.
        size = max(1, int(self.rate / 20))
        async for part in parts:
            for begin in range(0, len(part), size):
                piece = part[begin : begin + size]
                yield piece
                await lane.sleep(len(piece) / self.rate)
