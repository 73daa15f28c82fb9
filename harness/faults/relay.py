"""One connection through a gate: two lanes, and what faults do to the bytes of each lane.

A *lane* is one direction of a connection. Its bytes go through the gate's transformations, one
after the other. A transformation is an async generator over the bytes, so its local variables hold
its state for the lane:

    async def transform(self, parts, lane):
        async for part in parts:
            await lane.sleep(0.1)
            yield part

When the gate's transformations change, each lane gets new transformations, which count from zero.
The old transformations end: ``sleep`` and ``hold`` return at once, and ``parts`` has no more bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn, Optional, Protocol

INSIDE = "127.0.0.2"
ANSWERS, REQUESTS, BOTH = "answers", "requests", "both"
DIRECTIONS = (ANSWERS, REQUESTS, BOTH)
_CHUNK = 64 * 1024
# close(2) with a linger time of zero sends RST instead of FIN (socket(7)).
_RESET = struct.pack("ii", 1, 0)


class Transformation(Protocol):
    """What a gate does to the bytes of its lanes."""

    @property
    def direction(self) -> str:
        """Which lanes it changes, one of ``DIRECTIONS``."""

    def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        """Yield what is passed on instead of ``parts``."""


class Observer(Protocol):
    """The methods of a gate that a connection calls."""

    def passed(self, connection: Connection, data: bytes) -> None:
        """Called with every part of an answer before it is passed on."""

    def stopped_one(self) -> None:
        """Called when a transformation has cut a lane or holds it."""


class _Closed(Exception):
    """A transformation has closed the connection."""


class Lane:
    """One direction of one connection, from one change of the transformations to the next.

    Attributes:
        direction: ``ANSWERS`` or ``REQUESTS``.
        protocol: The protocol of the service's port, if the gate knows it; else empty.
        random: Random numbers; the run's seed and the connection's number determine them.
        held: Whether ``hold`` is waiting.
    """

    def __init__(self, connection: Connection, direction: str, seed: str) -> None:
        self.direction = direction
        self.protocol = connection.protocol
        self.random = random.Random(seed)
        self.held = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = connection

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not longer than the transformation lasts."""
        await asyncio.wait({self.over}, timeout=seconds)

    async def hold(self) -> None:
        """Return when the transformation ends."""
        if self.over.done():
            return
        self.held = True
        # Count after the flag is set: a thread that sees the count may end the hold at once.
        self._connection.gate.stopped_one()
        await asyncio.wait({self.over})
        self.held = False

    def cut(self) -> NoReturn:
        """Reset the connection."""
        self._connection.gate.stopped_one()
        self._connection.reset()
        raise ConnectionResetError

    def close(self) -> NoReturn:
        """End the connection in order."""
        raise _Closed

    async def reply(self, data: bytes) -> None:
        """Send these bytes to the client, as the service would."""
        await self._connection.answer(data)

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Connection:
    """A client's connection to the gate, and the gate's connection to the service."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        gate: Observer,
        *,
        number: int,
        protocol: str,
    ) -> None:
        _send_at_once(writer.get_extra_info("socket"))
        # An FTP client sends ABOR as urgent data, which would be dropped here (tcp(7)).
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self.port = port
        self.protocol = protocol
        self.gate = gate
        # The last bytes that passed, as many as are sought.
        self.tail = b""
        self._number = number
        self._reader = reader
        self._client = writer
        self._service: Optional[asyncio.StreamWriter] = None
        self._transformations: tuple[Transformation, ...] = ()
        self._seed = 0
        self._lanes: dict[str, Lane] = {}
        self._reading: dict[str, asyncio.Future[bytes]] = {}
        self._left: dict[str, list[bytes]] = {ANSWERS: [], REQUESTS: []}

    @property
    def held(self) -> bool:
        """Whether a transformation holds one of its lanes."""
        return any(lane.held for lane in self._lanes.values())

    def obey(
        self, transformations: Sequence[Transformation], seed: int, *, free: bool = True
    ) -> None:
        """Take over the gate's transformations; ``free``: lanes that are held go on."""
        self._transformations = tuple(transformations)
        self._seed = seed
        for lane in self._lanes.values():
            if free or not lane.held:
                lane.end()

    async def relay(self) -> None:
        """Relay until both directions have ended, or one has broken."""
        try:
            from_service, self._service = await asyncio.open_connection(sock=await self._connect())
            requests = asyncio.ensure_future(self._pump(REQUESTS, self._reader, self._service))
            answers = asyncio.ensure_future(self._pump(ANSWERS, from_service, self._client))
            with contextlib.suppress(_Closed):
                await asyncio.gather(requests, answers)
        except OSError:
            # The service is down, or one side broke: break the other side, too.
            self.reset()
        finally:
            for reading in self._reading.values():
                reading.cancel()
            writers = [one for one in (self._client, self._service) if one is not None]
            for writer in writers:
                writer.close()
            # Until a slow client has the last bytes, the connection can still be reset.
            for writer in writers:
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _connect(self) -> socket.socket:
        """Connect to the service, with a small buffer.

        Bytes that a slow client has not read then wait in the service, where a fault can still
        meet them.
        """
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
        _send_at_once(made)
        try:
            await asyncio.get_running_loop().sock_connect(made, (INSIDE, self.port))
        except BaseException:
            made.close()
            raise
        return made

    async def _pump(
        self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while not self._at_end(direction):
            lane = Lane(self, direction, f"{self._seed}/{self._number}/{direction}")
            self._lanes[direction] = lane
            parts = self._parts(reader, lane)
            for one in self._transformations:
                if one.direction in (direction, BOTH):
                    parts = one.transform(parts, lane)
            async for data in parts:
                if lane.over.done():
                    # Bytes that an ended transformation still yields go to the next ones.
                    self._left[direction].append(data)
                elif direction == ANSWERS:
                    await self.answer(data)
                else:
                    writer.write(data)
                    await writer.drain()
        with contextlib.suppress(OSError):  # the other side may have gone altogether
            writer.write_eof()

    def _at_end(self, direction: str) -> bool:
        reading = self._reading.get(direction)
        ended = reading is not None and reading.done() and not reading.result()
        return ended and not self._left[direction]

    async def _parts(self, reader: asyncio.StreamReader, lane: Lane) -> AsyncIterator[bytes]:
        left, self._left[lane.direction] = self._left[lane.direction], []
        for data in left:
            yield data
        while True:
            # If the lane ends during a read, the next lane gets what the read returns.
            reading = self._reading.get(lane.direction)
            if reading is None:
                reading = asyncio.ensure_future(reader.read(_CHUNK))
                self._reading[lane.direction] = reading
            both: set[asyncio.Future[Any]] = {reading, lane.over}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if lane.over.done() or not reading.result():
                return
            del self._reading[lane.direction]
            yield reading.result()

    async def answer(self, data: bytes) -> None:
        """Send these bytes to the client."""
        self.gate.passed(self, data)
        self._client.write(data)
        await self._client.drain()

    def reset(self) -> None:
        """Send RST to both sides."""
        for lane in self._lanes.values():
            lane.end()
        for writer in (self._client, self._service):
            if writer is None:
                continue
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


def _send_at_once(connection: socket.socket) -> None:
    # With Nagle's algorithm a small part may wait 40 ms for the ACK of the part before. The loop
    # turns it off only for sockets that were made with IPPROTO_TCP.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
