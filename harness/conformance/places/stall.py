"""A gate that stops a connection in the middle of an answer, and says when it has.

Breaking a transfer at an exact byte, rather than after some time, is what makes a fault the same
on a slow machine and on a fast one. Connections that bring less than that pass unharmed, so that
a monitor's look at the donefile works while the pull of a large tarball does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Optional, TypeVar

from ...remotes.gate import Gate, _Connection, _loop

T = TypeVar("T")


class StallingGate(Gate):
    """A gate with two more faults, each counted in ``stopped`` when it happens; ``traffic`` is the
    number of bytes of answers that have passed."""

    def __init__(self, ports: tuple[int, ...]) -> None:
        super().__init__(ports)
        self.stopped = 0
        self.traffic = 0
        self.limit_bytes: Optional[int] = None
        self.sought = b""
        self.found = False
        self.resets = False
        self._held: list[_StallingConnection] = []

    def stop_after(self, size: int, *, reset: bool) -> None:
        """Every connection, once ``size`` bytes of answers have passed on it from now on, is
        reset or goes silent."""
        self.stopped = 0
        self.resets = reset
        self.limit_bytes = size
        for connection in list(self._connections):
            if isinstance(connection, _StallingConnection):
                connection.passed = 0

    def seek(self, data: bytes) -> None:
        """``found`` says from now on whether these bytes, at least one, have come down on one
        connection."""
        self.found = False
        self.sought = data

    def heal(self) -> None:
        """No further faults; connections that were stopped stay so, and break."""
        self.limit_bytes = None
        self._run(self._reset_held())
        self.open()

    def go_on(self) -> None:
        """No further faults; silent connections go on where they stopped."""
        self.limit_bytes = None
        self._run(self._free_held())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, _loop()).result(timeout=10)

    async def _reset_held(self) -> None:
        held, self._held = self._held, []
        for connection in held:
            connection.reset()
            connection.freed.set()

    async def _free_held(self) -> None:
        held, self._held = self._held, []
        for connection in held:
            connection.freed.set()

    def hold(self, connection: _StallingConnection) -> None:
        """Called by a connection that has reached the limit."""
        self.stopped += 1
        if not self.resets:
            self._held.append(connection)

    def _accept(self, port: int) -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = _StallingConnection(reader, writer, port, self)
            connection.obey(self._silent, self._cut_after, self._rate)
            self._connections.add(connection)
            try:
                await connection.relay()
            finally:
                self._connections.discard(connection)

        return connected


class _StallingConnection(_Connection):
    """Counts what has passed to the client."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        gate: StallingGate,
    ) -> None:
        super().__init__(reader, writer, port)
        self.passed = 0
        self.freed = asyncio.Event()
        self._gate = gate
        self._tail = b""

    def _count(self, data: bytes) -> None:
        self._gate.traffic += len(data)
        sought = self._gate.sought
        if sought:
            recent = self._tail + data
            self._gate.found = self._gate.found or sought in recent
            self._tail = recent[-len(sought) :]

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool
    ) -> None:
        while True:
            data = await reader.read(64 * 1024)
            await self._flowing.wait()
            if not data:
                break
            limit = self._gate.limit_bytes
            if answers and limit is not None and self.passed + len(data) >= limit:
                rest = max(0, limit - self.passed)
                self._count(data[:rest])
                writer.write(data[:rest])
                await writer.drain()
                data = data[rest:]
                self._gate.hold(self)
                if self._gate.resets:
                    self.reset()
                    raise ConnectionResetError
                await self.freed.wait()
            if answers:
                self.passed += len(data)
                self._count(data)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
