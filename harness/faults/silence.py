"""Silence: connections are accepted and kept, but no byte passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from .base import NetworkFault, direction
from .relay import BOTH, Lane


@dataclass(frozen=True)
class Silence(NetworkFault):
    """Connections are accepted and kept, but no byte passes until the fault ends."""

    name: ClassVar[str] = "silence"
    direction: str = direction(BOTH)

    async def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        async for part in parts:
            await lane.hold()
            yield part
        await lane.hold()
