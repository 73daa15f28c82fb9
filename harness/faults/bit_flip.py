"""Bit flip: one bit of each connection is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, direction, parameter
from .relay import ANSWERS, Lane


@dataclass(frozen=True)
class BitFlip(NetworkFault):
    """One random bit of one byte of each connection is flipped."""

    name: ClassVar[str] = "bit-flip"
    direction: str = direction(ANSWERS)
    after: int = parameter(
        1000,
        "how many bytes of each connection pass before this byte, counted from the fault's start",
    )

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        left, mask = self.after, 1 << lane.random.randrange(8)
        async for part in parts:
            if 0 <= left < len(part):
                yield part[:left] + bytes([part[left] ^ mask]) + part[left + 1 :]
            else:
                yield part
            left -= len(part)
