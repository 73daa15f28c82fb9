"""The HTTP server of the tests: real, on loopback, in a thread. A test says what it answers.

``Sending`` has the faults of a server that sends a file, ``byte_range`` its answer to a Range.
"""

from __future__ import annotations

import functools
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional


class Request(BaseHTTPRequestHandler):
    """One request, and the methods that answer it.

    Attributes:
        body: The bytes of a POST.
    """

    protocol_version = "HTTP/1.1"
    body = b""
    answer: Callable[[Request], None]
    connected: Callable[[], None]

    def log_message(self, *_: object) -> None:
        return

    def setup(self) -> None:
        type(self).connected()
        super().setup()

    def do_GET(self) -> None:
        try:
            type(self).answer(self)
        except OSError:
            # The client has gone.
            self.close_connection = True

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()


def _absent(request: BaseHTTPRequestHandler) -> None:
    request.send_error(404)


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


class Sending:
    """How a server sends the bodies of its answers. Offsets are in bytes from a body's beginning.

    Attributes:
        cut_after: Where it closes the connection.
        stall_after: Where it sends nothing more, until a test sets ``None``, or for 30 s.
        during_get: Is called when half of a body is sent.
        bytes_per_s: How fast it sends; None: as fast as it can.
    """

    cut_after: Optional[int] = None
    stall_after: Optional[int] = None
    during_get: Optional[Callable[[], object]] = None
    bytes_per_s: Optional[int] = None

    def send(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Send a body, as the attributes say. A body that is broken off ends the connection."""
        if self.during_get is not None:
            half = len(body) // 2
            self._write(request, body[:half])
            self.during_get()
            body = body[half:]
        end = min(one for one in (self.cut_after, self.stall_after, len(body)) if one is not None)
        self._write(request, body[:end])
        if end == self.stall_after:
            deadline = time.monotonic() + 30
            while self.stall_after is not None and time.monotonic() < deadline:
                time.sleep(0.02)
        if end in (self.cut_after, self.stall_after) or end < len(body):
            request.close_connection = True

    def _write(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        step = len(data) if self.bytes_per_s is None else self.bytes_per_s // 20
        for at in range(0, len(data), max(1, step)):
            request.wfile.write(data[at : at + max(1, step)])
            request.wfile.flush()
            if self.bytes_per_s is not None:
                time.sleep(step / self.bytes_per_s)


def byte_range(
    request: BaseHTTPRequestHandler, size: int, validators: Collection[str]
) -> Optional[tuple[int, int]]:
    """Return the first byte that a request asks for and the one behind the last.

    ``None``: it asks for the whole file, or If-Range is none of the ``validators``.
    """
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if found is None or request.headers.get("If-Range") not in (None, *validators):
        return None
    return int(found[1]), int(found[2] or size - 1) + 1


class HttpServer:
    """Answers until ``close``.

    Attributes:
        port: A free one.
        url: ``http://host:port``; ``https:`` after ``serve_tls``.
        connections: How many were opened.

    Args:
        answer: Answers one GET or POST, as a handler's methods do.
        files: A folder to serve; in place of ``answer``.
        host: An IPv4 or IPv6 address.
    """

    def __init__(
        self,
        answer: Optional[Callable[[Request], None]] = None,
        *,
        files: Optional[Path] = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.connections = 0
        handler: Any
        if files is not None:
            handler = functools.partial(_Files, directory=str(files))
        else:
            given = {
                "answer": staticmethod(answer or _absent),
                "connected": staticmethod(self._connected),
            }
            handler = type("Handler", (Request,), given)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def handle_error(self, request: Any, client_address: Any) -> None:
                return

        self._server = Server((host, 0), handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _connected(self) -> None:
        self.connections += 1

    def serve_tls(self, context: ssl.SSLContext) -> None:
        """From now on HTTPS."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
