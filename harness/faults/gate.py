"""A gate before a service: it passes TCP connections on, or breaks them on purpose.

The service binds 127.0.0.2 and the gate 127.0.0.1, with the same port numbers. So addresses inside
a protocol (WebHDFS's redirect, FTP's reply to PASV) also lead through the gate.

    with Gate([port]) as gate:            # open: relays 127.0.0.1:port to 127.0.0.2:port
        gate.close()                      # cuts every connection (RST), refuses new ones
        gate.open()                       # heals, and takes back every other fault
        gate.silence()                    # accepts, keeps connections, passes nothing on
        gate.cut_after(1000)              # each connection: RST after 1,000 bytes of answers
        gate.stop_after(1000)             # each connection: silent after 1,000 bytes of answers
        gate.limit(64_000)                # bytes a second, each connection and direction

A fault at an exact byte is the same on a slow machine and on a fast one; a fault after some time is
not. A connection with fewer bytes is not affected. The gate counts what it did (``stopped``) and
what passed (``traffic``), so that a test can wait for it.

The gate is an asyncio loop in a thread of the harness. Any thread may call the methods. They return
when the change is in effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Optional, TypeVar

from harness.support.errors import Failed

T = TypeVar("T")

OUTSIDE = "127.0.0.1"
INSIDE = "127.0.0.2"
_CHUNK = 64 * 1024
# close(2) with a linger time of zero sends RST instead of FIN (socket(7)).
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Faults:
    """What is wrong with a gate.

    Each connection is reset (``resets``) or stops after ``after`` bytes of answers. ``rate`` is
    bytes a second, each connection and direction.
    """

    silent: bool = False
    after: Optional[int] = None
    resets: bool = False
    rate: Optional[float] = None


class Gate:
    """One gate for all ``ports`` of a service; closed until ``open``."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = tuple(ports)
        self._servers: list[asyncio.AbstractServer] = []
        self._connections: set[_Connection] = set()
        self._faults = Faults()
        self._sought = b""
        self._found = False
        # How many connections cut_after() or stop_after() have stopped since it was called.
        self.stopped = 0
        # How many bytes of answers have passed so far.
        self.traffic = 0

    def open(self) -> None:
        """Listens and relays; ends every fault. Raises ``Failed`` when a port is taken."""
        self._call(self._open())

    def close(self) -> None:
        """Resets every connection and refuses new ones. Safe to repeat."""
        self._call(self._close())

    def silence(self) -> None:
        """New connections are accepted and old ones kept, but nothing passes, until ``open``."""
        self._call(self._change(Faults(silent=True)))

    def cut_after(self, size: int) -> None:
        """From now on each connection is reset once ``size`` bytes of answers have passed."""
        self.stopped = 0
        self._call(self._change(Faults(after=size, resets=True)))

    def stop_after(self, size: int) -> None:
        """Stop each connection after ``size`` bytes of answers; ``open`` lets it continue there."""
        self.stopped = 0
        self._call(self._change(Faults(after=size)))

    def spare_others(self) -> None:
        """No further faults; connections that ``stop_after`` has stopped stay so."""
        self._call(self._change(Faults(), free=False))

    def reset_stopped(self) -> None:
        """Resets the connections that ``stop_after`` has stopped; everything else stays."""
        self._call(self._reset_stopped())

    def limit(self, rate: float) -> None:
        """From now on at most ``rate`` bytes a second pass, each connection and direction."""
        self._call(self._change(Faults(rate=rate)))

    def seek(self, data: bytes) -> None:
        """Let ``found`` say whether these bytes pass in the answers of one connection.

        It counts from now on. Without bytes it stays False.
        """
        self._found = False
        self._sought = data

    @property
    def found(self) -> bool:
        return self._found

    @property
    def is_open(self) -> bool:
        return bool(self._servers)

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
        await self._change(Faults())
        if self._servers:
            return
        try:
            for port in self.ports:
                self._servers.append(await asyncio.start_server(self._accept(port), OUTSIDE, port))
        except OSError as error:
            await self._close()
            raise Failed(f"the gate cannot listen on {OUTSIDE}:{port}: {error.strerror}") from None

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []
        for connection in list(self._connections):
            connection.reset()

    async def _change(self, faults: Faults, *, free: bool = True) -> None:
        self._faults = faults
        for connection in self._connections:
            connection.obey(faults, free=free)

    async def _reset_stopped(self) -> None:
        for connection in list(self._connections):
            if connection.stopped:
                connection.reset()

    def passed(self, connection: _Connection, data: bytes) -> None:
        """Called with every part of an answer before it is passed on."""
        self.traffic += len(data)
        if self._sought:
            recent = connection.tail + data
            self._found = self._found or self._sought in recent
            connection.tail = recent[-len(self._sought) :]

    def _accept(self, port: int) -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = _Connection(reader, writer, port, self)
            connection.obey(self._faults)
            self._connections.add(connection)
            try:
                await connection.relay()
            finally:
                self._connections.discard(connection)

        return connected


class _Connection:
    """One client's connection and the one to the service behind it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        port: int,
        gate: Gate,
    ) -> None:
        # An FTP client sends ABOR as urgent data, which would be dropped here (tcp(7)).
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        self._reader = reader
        self._client = writer
        self._service: Optional[asyncio.StreamWriter] = None
        self._port = port
        self._gate = gate
        self._flowing = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._faults = Faults()
        self._left: Optional[int] = None
        # The last bytes that passed, as many as are sought.
        self.tail = b""

    @property
    def stopped(self) -> bool:
        """Whether it has come to the byte at which it was to stop."""
        return not self._free.is_set()

    def obey(self, faults: Faults, *, free: bool = True) -> None:
        """Takes over the gate's faults; ``free``: when it has stopped it goes on."""
        self._faults = faults
        self._left = faults.after
        if faults.silent:
            self._flowing.clear()
        else:
            self._flowing.set()
        if free:
            self._free.set()

    async def relay(self) -> None:
        """Until both directions have ended, or one of them broke."""
        try:
            await self._flowing.wait()
            from_service, self._service = await asyncio.open_connection(sock=await self._connect())
            requests = asyncio.ensure_future(self._pump(self._reader, self._service, False))
            answers = asyncio.ensure_future(self._pump(from_service, self._client, True))
            await asyncio.gather(requests, answers)
        except OSError:
            # The service is down, or one side broke: so does the other.
            self.reset()
        finally:
            for writer in (self._client, self._service):
                if writer is not None:
                    writer.close()

    async def _connect(self) -> socket.socket:
        """Connect to the service, with a small buffer.

        Bytes that a slow client has not read then wait in the service, where a fault can still
        meet them.
        """
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
        try:
            await asyncio.get_running_loop().sock_connect(made, (INSIDE, self._port))
        except BaseException:
            made.close()
            raise
        return made

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool
    ) -> None:
        while True:
            rate = self._faults.rate
            # Few bytes at a time when there is a rate, so that it is one and not bursts.
            size = _CHUNK if rate is None else max(1, min(_CHUNK, int(rate / 20)))
            data = await reader.read(size)
            await self._flowing.wait()
            if not data:
                break
            while answers and self._left is not None and len(data) >= self._left:
                head, data = data[: self._left], data[self._left :]
                await self._pass_on(writer, head)
                await self._stop()
            if answers:
                if self._left is not None:
                    self._left -= len(data)
                await self._pass_on(writer, data)
            else:
                writer.write(data)
                await writer.drain()
            if rate is not None:
                await asyncio.sleep(len(data) / rate)
        with contextlib.suppress(OSError):  # the other side may have gone altogether
            writer.write_eof()

    async def _pass_on(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        self._gate.passed(self, data)
        writer.write(data)
        await writer.drain()

    async def _stop(self) -> None:
        """At the byte: breaks the connection, or returns once it may go on."""
        self._left = None
        # Before it is counted: who has seen the count may free it at once.
        self._free.clear()
        self._gate.stopped += 1
        if self._faults.resets:
            self.reset()
            raise ConnectionResetError
        await self._free.wait()

    def reset(self) -> None:
        """RST to both sides."""
        self._flowing.set()
        self._free.set()
        for writer in (self._client, self._service):
            if writer is None or writer.transport.is_closing():
                continue
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


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
