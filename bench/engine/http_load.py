"""HTTP load from one thread over any number of keep-alive connections.

Every connection sends the next request when it has the whole answer to the last. The client does
as little as it can with an answer: on two cores it takes its share of the machine from the server.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple


class Loaded(NamedTuple):
    """What a load gave: latencies in seconds, failures, and wall time in seconds."""

    latencies: Sequence[float]
    failed: int
    wall_s: float
    first_failure: str = ""


def request_bytes(host: str, body: bytes) -> bytes:
    """Return a POST to ``inference`` with a JSON body."""
    return (
        f"POST /GeneralModelService/inference HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class _Client:
    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address, 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self.send()

    def send(self) -> None:
        self.data = b""
        self.sent_at = time.perf_counter()
        self.socket.send(self._request)

    def receive(self) -> bool:
        """Return whether the answer is whole.

        Raises:
            OSError: The connection is closed.
        """
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the connection was closed")
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
        return bool(end) and len(body) >= int(length or 0)


def run(
    address: tuple[str, int],
    request: bytes,
    *,
    connections: int,
    seconds: float,
    expected: Sequence[bytes],
) -> Loaded:
    """Load for ``seconds``. An answer that is no 200, or has none of ``expected``, has failed.

    Raises:
        OSError: The server cannot be reached at all.
    """
    latencies: list[float] = []
    failures: list[str] = []
    start = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            client = _Client(address, request)
            selector.register(client.socket, selectors.EVENT_READ, client)
        while selector.get_map():
            # A server that hangs must not hang the benchmark.
            ready = selector.select(10)
            if not ready:
                failures += ["no answer for 10 s"] * len(selector.get_map())
                break
            for key, _ in ready:
                client = key.data
                try:
                    if not client.receive():
                        continue
                except OSError as error:
                    failures.append(str(error))
                    selector.unregister(client.socket)
                    continue
                now = time.perf_counter()
                latencies.append(now - client.sent_at)
                if not client.data.startswith(b"HTTP/1.1 200") or not any(
                    one in client.data for one in expected
                ):
                    failures.append(client.data[:300].decode("latin-1"))
                if now - start < seconds:
                    client.send()
                else:
                    selector.unregister(client.socket)
                    client.socket.close()
        wall = time.perf_counter() - start
    return Loaded(latencies, len(failures), wall, failures[0] if failures else "")
