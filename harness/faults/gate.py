"""A gate: a relay before a service that forwards TCP connections, or breaks them on purpose.

The service binds 127.0.0.2 and the gate 127.0.0.1, with the same port numbers. So addresses inside
a protocol (WebHDFS's redirect, FTP's reply to PASV) also lead through the gate.

    with Gate([port]) as gate:            # open: relays 127.0.0.1:port to 127.0.0.2:port
        gate.close()                      # cuts every connection (RST), refuses new ones
        gate.open()                       # ends every fault
        gate.apply(Cut(after=1000))       # each connection: RST after 1,000 bytes of answers

``apply`` takes the network faults of this package. A fault at an exact byte is the same on a slow
machine and on a fast one; a fault after some time is not. Such a fault spares a connection with
fewer bytes. The gate counts the lanes that it stopped (``stopped``) and the bytes that passed
(``traffic``). A test can wait for these counts.

The gate is an asyncio loop in a thread of the harness. Any thread may call the methods. They return
when the change is in effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Optional, TypeVar

from harness.support.errors import Failed

from .relay import INSIDE, Connection, Transformation

__all__ = ["INSIDE", "OUTSIDE", "Gate"]

T = TypeVar("T")

OUTSIDE = "127.0.0.1"


class Gate:
    """One gate for all ``ports`` of a service; closed until ``open``.

    ``protocols`` has the protocol of each port (``http``, ``webhdfs``, ``ftp`` or ``ftp-data``),
    for faults that answer instead of the service.
    """

    def __init__(self, ports: Sequence[int], protocols: Optional[Mapping[int, str]] = None) -> None:
        self.ports = tuple(ports)
        self.protocols = dict(protocols or {})
        # The listening sockets and their ports; none while the gate is closed.
        self._listening: dict[socket.socket, int] = {}
        # Accepted connections that are not yet in ``_connections``.
        self._opening: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._numbers = 0
        self._transformations: tuple[Transformation, ...] = ()
        self._seed = 0
        self._sought = b""
        self._found = False
        # How many lanes were cut or held since apply() was called.
        self.stopped = 0
        # How many bytes of answers have passed so far.
        self.traffic = 0

    def open(self) -> None:
        """Listen and relay; end every fault. Raise ``Failed`` if a port is taken."""
        self._call(self._open())

    def close(self) -> None:
        """Reset every connection and refuse new ones. Safe to repeat."""
        self._call(self._close())

    def apply(self, *transformations: Transformation, seed: int = 0) -> None:
        """Replace the faults of all connections by these transformations.

        Each connection, also one that exists, counts its bytes from now on.
        """
        self.stopped = 0
        self._call(self._change(transformations, seed))

    def add(self, transformation: Transformation, seed: int = 0) -> None:
        """Change each connection in this way, too. All connections count from zero again."""
        self.apply(*self._transformations, transformation, seed=seed)

    def remove(self, transformation: Transformation) -> None:
        """End one transformation of ``add``; nothing happens if it has ended already."""
        left = [one for one in self._transformations if one is not transformation]
        if len(left) < len(self._transformations):
            self._call(self._change(left, self._seed))

    def spare_others(self) -> None:
        """End the faults of all connections except those that are held: they stay held."""
        self._call(self._change((), 0, free=False))

    def reset_held(self) -> None:
        """Reset the connections that are held; everything else stays."""
        self._call(self._reset_held())

    def reset(self) -> None:
        """Reset every connection; new ones pass."""
        self._call(self._reset())

    def seek(self, data: bytes) -> None:
        """Let ``found`` say whether, from now on, these bytes pass in one connection's answers.

        Without bytes ``found`` stays False.
        """
        self._found = False
        self._sought = data

    @property
    def found(self) -> bool:
        return self._found

    @property
    def is_open(self) -> bool:
        return bool(self._listening)

    def __enter__(self) -> Gate:
        self.open()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    @staticmethod
    def _call(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, _loop()).result(timeout=10)

    async def _open(self) -> None:
        await self._change((), 0)
        if self._listening:
            return
        try:
            for port in self.ports:
                listening = socket.create_server((OUTSIDE, port))
                listening.setblocking(False)
                self._listening[listening] = port
                asyncio.get_running_loop().add_reader(listening, self._accept, listening)
        except OSError as error:
            await self._close()
            raise Failed(
                f"the gate cannot listen on {OUTSIDE}:{port}: {error.strerror}; "
                "end the process that uses the port"
            ) from None

    async def _close(self) -> None:
        for listening in self._listening:
            asyncio.get_running_loop().remove_reader(listening)
            # The kernel resets the connections that are not yet accepted.
            listening.close()
        self._listening = {}
        await self._reset()

    async def _change(
        self, transformations: Sequence[Transformation], seed: int, *, free: bool = True
    ) -> None:
        self._transformations = tuple(transformations)
        self._seed = seed
        # Number new connections from 1 again, so that the same seed gives the same random values.
        self._numbers = 0
        for connection in self._connections:
            connection.obey(transformations, seed, free=free)

    async def _reset(self) -> None:
        # A connection that waits for accept() is an old one, too: its client is connected.
        for listening in self._listening:
            self._accept(listening)
        if self._opening:
            await asyncio.wait(self._opening)
        for connection in list(self._connections):
            connection.reset()

    async def _reset_held(self) -> None:
        for connection in list(self._connections):
            if connection.held:
                connection.reset()

    def passed(self, connection: Connection, data: bytes) -> None:
        """Called with every part of an answer before it is passed on."""
        self.traffic += len(data)
        if self._sought:
            recent = connection.tail + data
            self._found = self._found or self._sought in recent
            connection.tail = recent[-len(self._sought) :]

    def stopped_one(self) -> None:
        """Called when a transformation has cut a lane or holds it."""
        self.stopped += 1

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # no connection waits
            while True:
                client, _ = listening.accept()
                client.setblocking(False)
                # Not asyncio.start_server: when its server closes, it loses the connections that
                # are accepted and not yet handed over.
                opening = asyncio.ensure_future(self._pass_on(client, self._listening[listening]))
                self._opening.add(opening)
                opening.add_done_callback(self._opening.discard)

    async def _pass_on(self, client: socket.socket, port: int) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        self._numbers += 1
        protocol = self.protocols.get(port, "")
        connection = Connection(reader, writer, port, self, number=self._numbers, protocol=protocol)
        connection.obey(self._transformations, self._seed)
        self._connections.add(connection)
        relaying = asyncio.ensure_future(connection.relay())
        relaying.add_done_callback(lambda _: self._connections.discard(connection))


_starting = threading.Lock()
_running: Optional[asyncio.AbstractEventLoop] = None


def _loop() -> asyncio.AbstractEventLoop:
    """The loop of all gates of this process, in a thread that ends with the process."""
    global _running  # noqa: PLW0603
    with _starting:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(target=_running.run_forever, name="gates", daemon=True).start()
    return _running
