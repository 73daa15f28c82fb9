"""A real HTTP server whose every answer is written down in the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.http_server import HttpServer


@dataclass
class Answer:
    # The status.
    code: int = 200
    # The body.
    body: bytes = b""
    # Further headers.
    headers: dict[str, str] = field(default_factory=dict)


class Answers:
    """Gives a path in ``by_path`` its answer, any other ``otherwise``. Keeps connections open.

    ``seen`` has path and headers of every request, ``connections`` how many were opened. With
    ``refuses_cookies`` a request with a cookie gets 403.
    """

    def __init__(self) -> None:
        self.by_path: dict[str, Answer] = {}
        self.otherwise = Answer(404)
        self.refuses_cookies = False
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._server = HttpServer(self._answer)
        self.port, self.url = self._server.port, self._server.url

    @property
    def connections(self) -> int:
        return self._server.connections

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.seen.append((request.path, dict(request.headers.items())))
        # "/a?OPEN" wins over "/a": a WebHDFS address has the operation in its query.
        path, query = urlsplit(request.path).path, urlsplit(request.path).query
        operation = f"{path}?{query.partition('op=')[2].partition('&')[0]}"
        answer = self.by_path.get(operation) or self.by_path.get(path) or self.otherwise
        if self.refuses_cookies and "Cookie" in request.headers:
            answer = Answer(403)
        request.send_response(answer.code)
        length = {"Content-Length": str(len(answer.body))}
        for key, value in {**length, **answer.headers}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(answer.body)

    def close(self) -> None:
        self._server.close()
