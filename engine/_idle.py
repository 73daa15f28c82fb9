"""Closes connections on which nothing moves any more (``-idle_timeout_s``), as brpc does.

A client that went away without a word, one that never sends the rest of its request, and one that
never reads its answer would else hold a descriptor, and what was kept for them, for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Callable, Protocol

# brpc's acceptor looks once a second too.
_EVERY_S = 1.0


class Watched(Protocol):
    """A connection, as it is looked at."""

    def moved(self) -> bool:
        """Whether a byte came or went since it was asked last."""

    def give_up(self) -> None:
        """Ends the connection at once."""


class IdleWatch:
    """Looks at all ``connections()`` once a second; ``timeout_s`` below 1 looks at none."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Callable[[], Iterable[Watched]],
        timeout_s: int,
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._timeout_s = timeout_s
        # Looks in a row at which nothing had moved.
        self._still: dict[Watched, int] = {}
        if timeout_s >= 1:
            loop.call_later(_EVERY_S, self._look)

    def _look(self) -> None:
        still: dict[Watched, int] = {}
        for connection in list(self._connections()):
            if connection.moved():
                continue
            still[connection] = self._still.get(connection, 0) + 1
            if still[connection] >= self._timeout_s:
                del still[connection]
                connection.give_up()
        self._still = still
        self._loop.call_later(_EVERY_S, self._look)
