"""The gate before a service: passes on, cuts, goes silent, slows down."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from harness.faults.bandwidth import Bandwidth
from harness.faults.cut import Cut
from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.faults.silence import Silence
from harness.support.errors import Failed
from harness.support.ports import free_port


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        while True:
            try:
                data = self.request.recv(65536)
                if not data:
                    return
                self.request.sendall(data)
            except OSError:
                return


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


@pytest.fixture
def service() -> Iterator[Server]:
    with Server((INSIDE, free_port()), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def gate(service: Server) -> Iterator[Gate]:
    with Gate([service.server_address[1]]) as made:
        yield made


def connect(gate: Gate, timeout_s: float = 20.0) -> socket.socket:
    return socket.create_connection((OUTSIDE, gate.ports[0]), timeout=timeout_s)


def receive(connection: socket.socket, size: int) -> bytes:
    """``size`` bytes, or fewer when the other side ends."""
    seen = b""
    while len(seen) < size:
        data = connection.recv(size - len(seen))
        if not data:
            break
        seen += data
    return seen


def receive_all(connection: socket.socket, seen: bytearray) -> None:
    """Adds to ``seen`` until the other side ends or breaks."""
    while data := connection.recv(300):
        seen += data


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Sends in the background (an echo fills both buffers) and receives as much."""
    sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
    sender.start()
    return receive(connection, len(data))


def test_an_open_gate_passes_bytes_both_ways_and_ends_with_the_client(gate: Gate) -> None:
    with connect(gate) as connection:
        data = bytes(range(256)) * 4096
        assert exchange(connection, data) == data
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b"", "the end of the requests did not lead to one of answers"


def test_a_second_small_answer_does_not_wait_for_a_confirmation() -> None:
    """Without TCP_NODELAY the second part waits some 40 ms for the ACK of the first part."""
    read = threading.Event()

    class InTwoParts(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            while self.request.recv(1):
                self.request.sendall(b"1")
                read.wait(20)
                self.request.sendall(b"2")

    took = []
    with Server((INSIDE, free_port()), InTwoParts) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Gate([server.server_address[1]]) as gate, connect(gate) as client:
            # The kernel confirms the first parts of a connection at once.
            for _ in range(30):
                read.clear()
                client.sendall(b"?")
                assert receive(client, 1) == b"1"
                began = time.monotonic()
                read.set()
                assert receive(client, 1) == b"2"
                took.append(time.monotonic() - began)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        server.shutdown()
    # The shortest time, because other work of the machine delays some answers.
    assert min(took[20:]) < 0.03, f"the second part took {[f'{one:.3f}' for one in took]} s"


def test_a_closed_gate_resets_connections_and_refuses_new_ones_until_it_opens(gate: Gate) -> None:
    with connect(gate) as connection:
        assert exchange(connection, b"hello") == b"hello"
        gate.close()
        assert not gate.is_open
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(gate)
    gate.open()
    with connect(gate) as connection:
        assert exchange(connection, b"healed") == b"healed"


@pytest.mark.parametrize("reset", [Gate.close, Gate.reset])
def test_a_connection_is_reset_also_directly_after_it_is_made(
    gate: Gate, reset: Callable[[Gate], None]
) -> None:
    for _ in range(100):
        with connect(gate) as connection:
            reset(gate)
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        gate.open()


def test_a_silent_gate_accepts_and_passes_nothing_and_then_everything(gate: Gate) -> None:
    with connect(gate) as old:
        assert exchange(old, b"before") == b"before"
        gate.apply(Silence())
        with connect(gate, 0.3) as new:
            new.sendall(b"late")
            with pytest.raises(socket.timeout):
                new.recv(1)
            old.settimeout(0.3)
            old.sendall(b"kept")
            with pytest.raises(socket.timeout):
                old.recv(1)
            gate.open()
            old.settimeout(20)
            new.settimeout(20)
            assert receive(old, 4) == b"kept"
            assert receive(new, 4) == b"late"


def test_a_connection_is_reset_while_a_slow_client_reads_the_end(gate: Gate) -> None:
    size = 8_000_000
    with connect(gate) as connection:
        sender = threading.Thread(target=connection.sendall, args=(b"x" * size,), daemon=True)
        sender.start()
        while gate.traffic < size:
            connection.recv(4096)
        sender.join()
        connection.shutdown(socket.SHUT_WR)
        # The service closes its side now; the gate still has bytes for the client.
        gate.close()
        with pytest.raises(ConnectionResetError):
            receive_all(connection, bytearray())


def test_an_answer_is_cut_after_as_many_bytes_as_asked(gate: Gate) -> None:
    seen = bytearray()
    gate.apply(Cut(after=1000))
    with connect(gate) as connection:
        connection.sendall(b"x" * 5000)
        with pytest.raises(ConnectionResetError):
            receive_all(connection, seen)
    # A reset may overtake what the kernel still held for the reader.
    assert len(seen) <= 1000
    gate.open()
    with connect(gate) as connection:
        assert exchange(connection, b"x" * 5000) == b"x" * 5000


def test_a_limited_gate_passes_no_more_than_its_rate(gate: Gate) -> None:
    gate.apply(Bandwidth(rate=100_000))
    with connect(gate) as connection:
        begin = time.monotonic()
        assert len(exchange(connection, b"x" * 50_000)) == 50_000
        took = time.monotonic() - begin
    assert took >= 0.4, f"50,000 bytes at 100,000 a second in {took:.2f} s"


def test_a_gate_without_a_service_behind_it_resets(gate: Gate, service: Server) -> None:
    service.shutdown()
    service.server_close()
    # The reset may come before connect() has returned.
    with pytest.raises(ConnectionResetError), connect(gate) as connection:
        connection.recv(1)


def test_a_port_that_is_taken_is_named(gate: Gate) -> None:
    with pytest.raises(Failed, match=f"cannot listen on 127.0.0.1:{gate.ports[0]}: "):
        Gate(gate.ports).open()
