"""The master's clock, which workers on other machines ask.

``ClockServer`` answers each line of a TCP connection with this machine's ``time.monotonic()``.
``record_clock`` asks several times in a row and records each exchange as an event ``clock``.
``harness.checker.clock`` computes the offset of the clocks from the exchanges.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import time

from harness.checker.history import History
from harness.support.errors import Failed

# Exchanges in a row: the one with the shortest round trip counts.
_IN_A_ROW = 8


class _Answers(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while self.rfile.readline():
            self.wfile.write(f"{time.monotonic()!r}\n".encode())


class ClockServer(socketserver.ThreadingTCPServer):
    """Answers from its start until ``close``, in its own threads."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), _Answers)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def record_clock(
    host: str, port: int, *, worker: str, history: History, timeout_s: float = 5.0
) -> None:
    """Ask the master's clock several times in a row; record an event ``clock`` for each answer.

    Raises:
        Failed: The clock does not answer.
    """
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as answers:
                for _ in range(_IN_A_ROW):
                    sent = time.monotonic()
                    connection.sendall(b"\n")
                    answer = answers.readline()
                    received = time.monotonic()
                    times = {"sent": sent, "master": float(answer), "received": received}
                    history.record("clock", worker=worker, **times)
    except (OSError, ValueError) as error:
        raise Failed(
            f"the master's clock at {host}:{port} does not answer ({error}); check that the "
            "master runs and that no firewall is in between"
        ) from error
