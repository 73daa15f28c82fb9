"""The HTTP server of the tests: real, on loopback, in a thread. A test says what it answers."""

from __future__ import annotations

import functools
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Callable[[BaseHTTPRequestHandler], None]
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


def _absent(request: BaseHTTPRequestHandler) -> None:
    request.send_error(404)


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


class HttpServer:
    """Answers until ``close``.

    Attributes:
        port: A free one.
        url: ``http://host:port``; ``https:`` after ``serve_tls``.
        connections: How many were opened.

    Args:
        answer: Answers one GET, as its handler's methods do.
        files: A folder to serve; in place of ``answer``.
        host: An IPv4 or IPv6 address.
    """

    def __init__(
        self,
        answer: Optional[Callable[[BaseHTTPRequestHandler], None]] = None,
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
            handler = type("Handler", (_Handler,), given)

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
