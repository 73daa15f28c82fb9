"""Latency: all bytes arrive later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, direction, parameter
from .relay import ANSWERS, Lane


@dataclass(frozen=True)
class Latency(NetworkFault):
    """Each part of up to 64 KiB arrives later.

    A large transfer also gets slower, as on a connection with a TCP window of 64 KiB.
    """

    name: ClassVar[str] = "latency"
    direction: str = direction(ANSWERS)
    delay_ms: float = parameter(100.0, "the delay, in milliseconds")
    jitter_ms: float = parameter(
        20.0, "largest random change of the delay, up or down, in milliseconds"
    )

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        async for part in parts:
            jitter = lane.random.uniform(-self.jitter_ms, self.jitter_ms)
            await lane.sleep(max(0.0, self.delay_ms + jitter) / 1000)
            yield part
