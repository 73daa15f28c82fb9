"""Slow close: all bytes arrive in time, but the end of the connection arrives late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, direction, parameter
from .relay import ANSWERS, Lane


@dataclass(frozen=True)
class SlowClose(NetworkFault):
    """The end of a connection (FIN) arrives later than the last byte."""

    name: ClassVar[str] = "slow-close"
    direction: str = direction(ANSWERS)
    delay_s: float = parameter(5.0, "the delay, in seconds")

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        async for part in parts:
            yield part
        await lane.sleep(self.delay_s)
