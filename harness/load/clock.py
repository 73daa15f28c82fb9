"""The master's clock, which workers on other machines ask.

``ClockServer`` answers each line of a TCP connection with this machine's ``time.monotonic()``.
``ClockClient`` asks some times in a row and records each exchange as an event ``clock``.
``harness.checker.clock`` says what follows from the exchanges.
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
    """Answers from its start until ``close``, in threads of its own."""

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


class ClockClient:
    """Asks the master's clock over one connection, and records what a worker needs for ``merge``.

    Raises:
        Failed: The clock does not answer.
    """

    def __init__(self, host: str, port: int, *, worker: str, timeout_s: float = 5.0) -> None:
        self._worker = worker
        self._address = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise self._failed(error) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def record(self, history: History) -> None:
        """Ask some times in a row; record an event ``clock`` for each."""
        for _ in range(_IN_A_ROW):
            sent = time.monotonic()
            try:
                self._socket.sendall(b"\n")
                answer = self._answers.readline()
                received = time.monotonic()
                master = float(answer)
            except (OSError, ValueError) as error:
                raise self._failed(error) from error
            times = {"sent": sent, "master": master, "received": received}
            history.record("clock", worker=self._worker, **times)

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def _failed(self, error: Exception) -> Failed:
        return Failed(
            f"the master's clock at {self._address} does not answer ({error}); check that the "
            "master runs and that no firewall is in between"
        )
