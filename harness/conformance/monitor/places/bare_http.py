r"""An HTTP server that says nothing about a file but its length: no dates, no tags, no ranges.

    python -m harness.conformance.monitor.places.bare_http \
        --folder DIR --port PORT [--status_file FILE]

Small servers in applications and object stores behind proxies are like this. A standard server
always sends Last-Modified, so this one is the suite's own. While FILE exists, every answer is an
error with the status that stands in it.
"""

from __future__ import annotations

import argparse
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Optional


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the files below ``root``; HTTP/1.0, one request a connection."""

    root: Path
    status_file: Optional[Path] = None

    def do_GET(self) -> None:
        """The whole file, whatever part or condition was asked for."""
        if self.status_file is not None and self.status_file.exists():
            self.send_error(int(self.status_file.read_text()))
            return
        path = self.root.joinpath(*(part for part in self.path.split("/") if part.strip(".")))
        try:
            data = path.read_bytes()
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        # send_response() would add a Date.
        self.send_response_only(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET


def main() -> int:
    """Serves until a signal."""
    parser = argparse.ArgumentParser(prog="python -m harness.conformance.monitor.places.bare_http")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--status_file", type=Path)
    options = parser.parse_args()
    Handler.root, Handler.status_file = options.folder, options.status_file
    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
