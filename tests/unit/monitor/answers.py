"""A real HTTP server whose every answer is written down in the test."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    code: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Answers:
    """Gives ``by_path`` what a path asks for, ``otherwise`` to all else; HTTP/1.1, kept alive.

    ``seen`` has path and headers of every request, ``connections`` how many were opened.
    """

    def __init__(self) -> None:
        self.by_path: dict[str, Answer] = {}
        self.otherwise = Answer(404)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        answers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                return

            def setup(self) -> None:
                answers.connections += 1
                super().setup()

            def do_GET(self) -> None:
                answers.seen.append((self.path, dict(self.headers.items())))
                # "/a?OPEN" goes before "/a": WebHDFS tells its operations apart by it.
                path, query = urlsplit(self.path).path, urlsplit(self.path).query
                operation = f"{path}?{query.partition('op=')[2].partition('&')[0]}"
                known = answers.by_path
                answer = known.get(operation) or known.get(path) or answers.otherwise
                self.send_response(answer.code)
                length = {"Content-Length": str(len(answer.body))}
                for key, value in {**length, **answer.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(answer.body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
