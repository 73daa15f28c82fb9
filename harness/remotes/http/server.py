"""The HTTP server's process: ``python -m harness.remotes.http.server --help``.

HTTP/1.1 with keep-alive, GET and HEAD of the files of one folder. What a downloader can ask for:
Last-Modified and a strong ETag (RFC 9110, 8.8), If-None-Match, If-Modified-Since, one byte range
with If-Range, 304, 206 and 416. Headers and bytes are of one opened file, so that an answer is
whole even when the file is replaced meanwhile. Folders give a listing with links.

HTTP_SERVER_ACCESS in the environment asks for authorization (arguments are visible in the process
list). It is a JSON object of Authorization headers (``Basic …``, ``Bearer …``). A header with true
may read. A header with false gets 403. Any other request gets 401 with a challenge (RFC 9110,
11.6.1).

``--lie`` makes it a server whose validators say nothing: ``etag`` alternates between two values,
``last-modified`` is another second in every answer.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple, Optional
from urllib.parse import quote, unquote, urlsplit


class Validators(NamedTuple):
    """What tells one state of a file from another."""

    etag: str
    modified_s: int


class Conditions(NamedTuple):
    """The request's conditional headers, as they came."""

    if_none_match: Optional[str] = None
    if_modified_since: Optional[str] = None
    if_range: Optional[str] = None
    range: Optional[str] = None


class Decision(NamedTuple):
    """The status to answer with, and the bytes: ``first`` to ``last``, both included."""

    status: HTTPStatus
    first: int = 0
    last: int = -1


def decide(size: int, state: Validators, asked: Conditions) -> Decision:
    """What a GET gets, by RFC 9110, 13.2.2 and 14.2. ``size`` is the file's, in bytes."""
    if asked.if_none_match is not None:
        known = [tag.strip() for tag in asked.if_none_match.split(",")]
        if "*" in known or state.etag in known or f"W/{state.etag}" in known:
            return Decision(HTTPStatus.NOT_MODIFIED)
    elif asked.if_modified_since is not None:
        since = _seconds(asked.if_modified_since)
        if since is not None and state.modified_s <= since:
            return Decision(HTTPStatus.NOT_MODIFIED)
    whole = Decision(HTTPStatus.OK, 0, size - 1)
    if asked.range is None:
        return whole
    if asked.if_range is not None:
        tag = asked.if_range.strip()
        same = tag == state.etag if '"' in tag else _seconds(tag) == state.modified_s
        if not same:
            return whole
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.range.strip())
    if found is None or not (found[1] or found[2]):
        return whole  # several ranges, or another unit: a server may ignore them
    if found[1]:
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first >= size or last < first:
        return Decision(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    return Decision(HTTPStatus.PARTIAL_CONTENT, first, last)


def validators(status: os.stat_result) -> Validators:
    """From an open file: another inode, size or nanosecond is another tag."""
    tag = f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'
    return Validators(tag, int(status.st_mtime))


def _seconds(date: str) -> Optional[int]:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError):
        return None


class Handler(BaseHTTPRequestHandler):
    """One connection. ``root`` is the folder, resolved."""

    protocol_version = "HTTP/1.1"
    server_version = "harness"
    sys_version = ""
    root: Path
    # Authorization headers, and whether they may read; None: everybody may.
    access: Optional[Mapping[str, bool]] = None
    lies: Collection[str] = ()
    # How often each path was answered.
    answers: ClassVar[Counter[str]] = Counter()
    # Headers and body are two writes: with Nagle's algorithm the second waits 40 ms for an ACK.
    disable_nagle_algorithm = True
    # An idle connection holds a thread.
    timeout = 120

    def do_GET(self) -> None:
        """Sends the file, a part of it, or the listing of a folder."""
        if self._refused():
            return
        path = self._path()
        if path is None:
            self._plain(HTTPStatus.NOT_FOUND, "there is no such file\n")
            return
        if path.is_dir():
            self._listing(path)
            return
        try:
            file = path.open("rb")
        except OSError:
            self._plain(HTTPStatus.NOT_FOUND, "there is no such file\n")
            return
        with file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                self._send(file, status)
            else:
                self._plain(HTTPStatus.NOT_FOUND, "there is no such file\n")

    do_HEAD = do_GET

    def _refused(self) -> bool:
        """Refuse a client that may not read; return whether it was refused."""
        if self.access is None:
            return False
        allowed = self.access.get(self.headers.get("Authorization", ""))
        if allowed is None:
            challenge = 'Basic realm="releases", Bearer realm="releases"'
            self._plain(HTTPStatus.UNAUTHORIZED, "who are you?\n", challenge=challenge)
        elif not allowed:
            self._plain(HTTPStatus.FORBIDDEN, "you may not read this\n")
        return not allowed

    def _path(self) -> Optional[Path]:
        # Double slashes count as one, as in any server: upstream's monitor asks for //donefile.
        parts = [part for part in unquote(urlsplit("//h" + self.path).path).split("/") if part]
        if ".." in parts or any("\0" in part for part in parts):
            return None
        path = self.root.joinpath(*parts)
        with contextlib.suppress(OSError):
            if self.root in (path.resolve(), *path.resolve().parents):
                return path
        return None

    def _send(self, file: BinaryIO, status: os.stat_result) -> None:
        state = self._told(validators(status))
        asked = Conditions(
            *(
                self.headers.get(name)
                for name in ("If-None-Match", "If-Modified-Since", "If-Range", "Range")
            )
        )
        decision = decide(status.st_size, state, asked)
        self.send_response(decision.status)
        self.send_header("Last-Modified", formatdate(state.modified_s, usegmt=True))
        self.send_header("ETag", state.etag)
        self.send_header("Accept-Ranges", "bytes")
        if decision.status is HTTPStatus.NOT_MODIFIED:
            self.end_headers()
            return
        if decision.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self.send_header("Content-Range", f"bytes */{status.st_size}")
        elif decision.status is HTTPStatus.PARTIAL_CONTENT:
            span = f"{decision.first}-{decision.last}/{status.st_size}"
            self.send_header("Content-Range", f"bytes {span}")
        length = decision.last - decision.first + 1
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        file.seek(decision.first)
        while length > 0:
            chunk = file.read(min(length, 256 * 1024))
            if not chunk:
                # Another program truncated the file. Close the connection, so that the client
                # notices that bytes are missing.
                self.close_connection = True
                return
            self.wfile.write(chunk)
            length -= len(chunk)

    def _told(self, state: Validators) -> Validators:
        """Return the validators that the server sends; with ``--lie`` they are wrong."""
        self.answers[self.path] += 1
        number = self.answers[self.path]
        return Validators(
            f'"server-{number % 2}"' if "etag" in self.lies else state.etag,
            state.modified_s + number if "last-modified" in self.lies else state.modified_s,
        )

    def _listing(self, folder: Path) -> None:
        if not urlsplit("//h" + self.path).path.endswith("/"):
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", self.path + "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        names = sorted(
            entry.name + "/" * entry.is_dir()
            for entry in os.scandir(folder)
            if not entry.name.startswith(".")
        )
        links = "".join(f'<li><a href="{quote(name)}">{html.escape(name)}</a>' for name in names)
        self._plain(HTTPStatus.OK, f"<!doctype html><ul>{links}</ul>\n", "text/html")

    def _plain(
        self, status: HTTPStatus, text: str, kind: str = "text/plain", challenge: str = ""
    ) -> None:
        body = text.encode()
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Clients that hang up in the middle are a fault that tests cause: no traceback for them."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        print(f"{client_address}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def main() -> int:
    """Serves until a signal."""
    parser = argparse.ArgumentParser(prog="python -m harness.remotes.http.server")
    parser.add_argument("--folder", type=Path, required=True, help="what is served")
    parser.add_argument("--address", default="127.0.0.1", help="to listen on (%(default)s)")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--lie",
        action="append",
        choices=("etag", "last-modified"),
        default=[],
        help="send another value although the file is the same; may be repeated",
    )
    options = parser.parse_args()
    Handler.lies = options.lie
    Handler.root = options.folder.resolve()
    access = os.environ.get("HTTP_SERVER_ACCESS")
    try:
        Handler.access = None if access is None else dict(json.loads(access))
    except (ValueError, TypeError):
        parser.error("HTTP_SERVER_ACCESS is no JSON object of headers and true or false")
    try:
        server = Server((options.address, options.port), Handler)
    except OSError as error:
        print(
            f"http server: cannot listen on {options.address}:{options.port}: {error.strerror}",
            file=sys.stderr,
        )
        return 2
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
