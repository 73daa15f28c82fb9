"""Faults at an exact byte of a connection: the connection is reset, or stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, direction, parameter
from .relay import ANSWERS, Lane

_AFTER = "how many bytes of each connection pass first, counted from the start of the fault"


@dataclass(frozen=True)
class Cut(NetworkFault):
    """Each connection is reset (RST) when `after` bytes have passed."""

    name: ClassVar[str] = "cut"
    direction: str = direction(ANSWERS)
    after: int = parameter(1000, _AFTER)

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        left = self.after
        async for part in parts:
            if len(part) >= left:
                yield part[:left]
                lane.cut()
            left -= len(part)
            yield part


@dataclass(frozen=True)
class Stall(NetworkFault):
    """Each connection stops when `after` bytes have passed. When the fault ends, it continues."""

    name: ClassVar[str] = "stall"
    direction: str = direction(ANSWERS)
    after: int = parameter(1000, _AFTER)

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        left = self.after
        async for part in parts:
            if len(part) >= left:
                yield part[:left]
                await lane.hold()
                yield part[left:]
            else:
                left -= len(part)
                yield part
