"""HTTP load from one thread over any number of keep-alive connections, as ``wrk -t1`` makes it.

Every connection sends the next request when it has the whole answer to the last. The client does
as little as it can with an answer (status line, length, one comparison), because on two cores it
takes its share of the machine from the server.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple


class Loaded(NamedTuple):
    """What a load gave: latencies in seconds, in the order of the answers; failures; wall time in
    seconds; and when each request was sent, in seconds since the epoch (empty: not known)."""

    latencies: list[float]
    failed: int
    wall_s: float
    first_failure: str = ""
    sent: Sequence[float] = ()


def request_bytes(host: str, body: bytes, path: str = "/GeneralModelService/inference") -> bytes:
    """The request as wrk sends it with a JSON body."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class _Client:
    __slots__ = ("data", "sent_at", "socket", "whole")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.whole = 0
        self.sent_at = 0.0


def run(
    address: tuple[str, int],
    request: bytes,
    *,
    connections: int,
    seconds: float,
    expected: Sequence[bytes] = (),
) -> Loaded:
    """Loads for ``seconds``. An answer that is no 200, or has none of ``expected`` in it when
    there are some, counts as failed.

    Raises ``OSError`` when the server cannot be reached at all.
    """
    clients = [_Client(address) for _ in range(connections)]
    latencies: list[float] = []
    sent: list[float] = []
    failed = 0
    first_failure = ""
    clock = time.perf_counter
    since_epoch = time.time() - clock()
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        start = clock()
        for client in clients:
            client.sent_at = clock()
            client.socket.send(request)
        end = start + seconds
        # A server that hangs must not hang the benchmark.
        while clients:
            ready = selector.select(10)
            if not ready:
                failed += len(clients)
                first_failure = first_failure or "no answer for 10 s"
                break
            for key, _ in ready:
                client = key.data
                try:
                    data = client.socket.recv(65536)
                except OSError as error:
                    data = str(error).encode()[:0]
                if not data:
                    failed += 1
                    first_failure = first_failure or "the connection was closed"
                    selector.unregister(client.socket)
                    clients.remove(client)
                    continue
                client.data += data
                if not client.whole:
                    client.whole = _whole(client.data)
                if not client.whole or len(client.data) < client.whole:
                    continue
                now = clock()
                latencies.append(now - client.sent_at)
                sent.append(since_epoch + client.sent_at)
                if not client.data.startswith(b"HTTP/1.1 200") or (
                    expected and not any(one in client.data for one in expected)
                ):
                    failed += 1
                    first_failure = first_failure or client.data[:300].decode("latin-1")
                client.data = b""
                client.whole = 0
                if now >= end:
                    selector.unregister(client.socket)
                    clients.remove(client)
                    client.socket.close()
                    continue
                client.sent_at = clock()
                client.socket.send(request)
        wall = clock() - start
    return Loaded(latencies, failed, wall, first_failure, sent)


def _whole(data: bytes) -> int:
    """Size of the whole answer, 0 while the head is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    at = data.find(b"Content-Length: ", 0, end)
    if at < 0:
        return end + 4
    return end + 4 + int(data[at + 16 : data.find(b"\r\n", at)])
