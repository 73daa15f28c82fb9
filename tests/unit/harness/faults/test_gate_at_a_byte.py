"""The gate's faults at an exact byte, and what it counts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from harness.faults.cut import Cut, Stall
from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.support.ports import free_port
from harness.support.waits import wait_for

ANSWER = bytes(range(256)) * 400


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate before a service that sends ``ANSWER`` on each connection."""
    port = free_port()
    with socket.create_server((INSIDE, port)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(ANSWER)

        threading.Thread(target=serve, daemon=True).start()
        with Gate([port]) as made:
            yield made
        listening.shutdown(socket.SHUT_RDWR)


def _received(connection: socket.socket, size: int) -> bytes:
    """Up to ``size`` bytes: fewer when the connection ends."""
    data = b""
    while len(data) < size and (chunk := connection.recv(size - len(data))):
        data += chunk
    return data


def _connect(gate: Gate) -> socket.socket:
    return socket.create_connection((OUTSIDE, gate.ports[0]), timeout=10)


def test_an_open_gate_passes_everything_and_counts_it(gate: Gate) -> None:
    with _connect(gate) as connection:
        assert _received(connection, len(ANSWER) + 1) == ANSWER
    assert gate.traffic == len(ANSWER)
    assert gate.stopped == 0


def test_bytes_that_are_sought_are_found_across_two_writes_and_others_are_not(
    gate: Gate,
) -> None:
    gate.seek(ANSWER[-300:] + b"!")
    with _connect(gate) as connection:
        assert _received(connection, len(ANSWER)) == ANSWER
    assert not gate.found
    # The first part ends at byte 1,000, in the middle of what is sought. ANSWER repeats itself
    # every 256 bytes, so the first match is at its beginning.
    gate.seek(ANSWER[:1200])
    gate.apply(Stall(after=1000))
    with _connect(gate) as connection:
        assert len(_received(connection, 1000)) == 1000
        wait_for(lambda: gate.stopped == 1, "the connection to be held", 10)
        assert not gate.found
        gate.open()
        assert len(_received(connection, len(ANSWER) - 1000)) == len(ANSWER) - 1000
    assert gate.found


def test_polls_that_bring_more_bytes_than_the_tarball_has_are_no_pull(gate: Gate) -> None:
    tarball = b"a tarball, smaller than what a poll brings"
    gate.seek(tarball)
    for _ in range(3):
        with _connect(gate) as connection:
            assert _received(connection, len(ANSWER)) == ANSWER
    assert gate.traffic > len(tarball)
    assert not gate.found


def test_a_silent_connection_stops_at_the_byte_and_goes_on_where_it_stopped(
    gate: Gate,
) -> None:
    gate.apply(Stall(after=1000))
    with _connect(gate) as connection:
        assert _received(connection, 1000) == ANSWER[:1000]
        wait_for(lambda: gate.stopped == 1, "the connection to be held", 10)
        connection.settimeout(0.3)
        with pytest.raises(socket.timeout):
            connection.recv(1)
        connection.settimeout(10)
        gate.open()
        assert _received(connection, len(ANSWER)) == ANSWER[1000:]


def test_stopped_connections_can_be_broken_while_new_ones_pass(
    gate: Gate,
) -> None:
    gate.apply(Stall(after=1000))
    with _connect(gate) as held:
        assert len(_received(held, 1000)) == 1000
        wait_for(lambda: gate.stopped == 1, "the connection to be held", 10)
        gate.reset_held()
        gate.open()
        with pytest.raises(ConnectionResetError):
            held.recv(1)
    with _connect(gate) as connection:
        assert _received(connection, len(ANSWER)) == ANSWER


def test_a_spared_connection_passes_while_the_stopped_one_stays_silent(gate: Gate) -> None:
    gate.apply(Stall(after=1000))
    with _connect(gate) as held:
        assert len(_received(held, 1000)) == 1000
        wait_for(lambda: gate.stopped == 1, "the connection to be held", 10)
        gate.spare_others()
        with _connect(gate) as connection:
            assert _received(connection, len(ANSWER)) == ANSWER
        held.settimeout(0.3)
        with pytest.raises(socket.timeout):
            held.recv(1)


def test_a_connection_that_passed_more_stops_after_as_many_bytes_from_now(
    gate: Gate,
) -> None:
    gate.apply(Stall(after=5000))
    with _connect(gate) as connection:
        assert len(_received(connection, 5000)) == 5000
        wait_for(lambda: gate.stopped == 1, "the connection to be held", 10)
        gate.apply(Stall(after=700))
        assert len(_received(connection, 700)) == 700
        wait_for(lambda: gate.stopped == 1, "the connection to be held again", 10)
        connection.settimeout(0.3)
        with pytest.raises(socket.timeout):
            connection.recv(1)


def test_a_cut_connection_is_reset_at_the_byte(gate: Gate) -> None:
    gate.apply(Cut(after=1000))
    # The server speaks first: the reset may come before the client knows that it is connected.
    with pytest.raises(ConnectionResetError), _connect(gate) as connection:
        _received(connection, len(ANSWER))
    assert gate.stopped == 1
    assert gate.traffic == 1000
