"""What the monitor's tests stand on: releases, and real HTTP and FTP servers in threads."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import ssl
import tarfile
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Optional
from urllib.parse import unquote, urlsplit

from monitor.options import fields
from tests.ftp_server import FtpServer
from tests.http_server import HttpServer, Sending, byte_range

TARBALL = "uci_housing.tar.gz"
MODEL = "uci_housing_model"
CONF = (
    'feed_var {\n  name: "x"\n  alias_name: "x"\n  shape: 13\n}\n'
    'fetch_var {\n  name: "save_infer_model/scale_0.tmp_0"\n  alias_name: "price"\n}\n'
)


def model_files(number: int, size: int = 1000) -> dict[str, bytes]:
    """A model as the export writes it, as far as a monitor looks; differs by ``number``."""
    return {
        "model.pdmodel": b"graph",
        "params.pdiparams": b"%09d" % number + os.urandom(size),
        "serving_server_conf.prototxt": CONF.encode(),
        "serving_server_conf.stream.prototxt": b"\x08\x01",
    }


def tarball(files: dict[str, bytes], top: str = MODEL, mode: str = "w:gz") -> bytes:
    """A tarball of ``files`` in the folder ``top``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def manifest_of(number: int, packed: bytes, **other: object) -> bytes:
    """The manifest for a tarball, as the producer writes it."""
    content: dict[str, object] = {
        "format": 1,
        "release": number,
        "tarball": TARBALL,
        "size": len(packed),
        "sha256": hashlib.sha256(packed).hexdigest(),
        **other,
    }
    return json.dumps(content).encode()


class Place:
    """A folder that releases are published to, by rename as the contract says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, content: bytes) -> None:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.tmp")
        beside.write_bytes(content)
        beside.replace(target)

    def publish(
        self,
        number: int,
        packed: Optional[bytes] = None,
        *,
        donefile: Optional[bytes] = None,
        size: int = 1000,
    ) -> bytes:
        """Publishes a release; with its manifest unless ``donefile`` says otherwise."""
        packed = tarball(model_files(number, size)) if packed is None else packed
        self.put(TARBALL, packed)
        self.put("donefile", manifest_of(number, packed) if donefile is None else donefile)
        return packed


class Site(Place, Sending):
    """A folder behind a real HTTP server: Last-Modified, ETag, ranges, index pages, faults."""

    def __init__(self, root: Path, host: str = "127.0.0.1") -> None:
        super().__init__(root)
        # A length to claim in place of the true one.
        self.claimed: Optional[int] = None
        # The validators that it sends.
        self.validators = {"ETag", "Last-Modified"}
        # The wrong validators: "etag" alternates between two values, "modified" is another second
        # in every answer.
        self.lies: set[str] = set()
        # Some proxies honour Range, but not If-Range.
        self.ignores_if_range = False
        # Without a Content-Length the server ends each answer with the connection.
        self.tells_length = True
        # The query that a request for a file needs, by the file's name; else the answer is 403.
        self.queries: dict[str, str] = {}
        self.status: Optional[int] = None
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._server = HttpServer(self._note_and_answer, host=host)
        self.port = self._server.port

    @property
    def url(self) -> str:
        return self._server.url

    def serve_tls(self, context: ssl.SSLContext) -> None:
        """Serve HTTPS from now on."""
        self._server.serve_tls(context)

    def close(self) -> None:
        self._server.close()

    def _note_and_answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen.append((handler.path, dict(handler.headers.items())))
        self.answer(handler)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = self.root / unquote(urlsplit(handler.path).path.strip("/"))
        if self.status is not None:
            self._send(handler, self.status, b"no", {})
            return
        wanted_query = self.queries.get(path.name, "")
        if wanted_query and urlsplit(handler.path).query != wanted_query:
            self._send(handler, 403, b"the signature does not fit", {})
            return
        if path.is_dir():
            names = [p.name + ("/" if p.is_dir() else "") for p in sorted(path.iterdir())]
            page = "".join(f'<a href="{name}">{name}</a>' for name in ["../", *names])
            self._send(handler, 200, page.encode(), {"Content-Type": "text/html"})
            return
        if not path.is_file():
            self._send(handler, 404, b"absent", {})
            return
        seen, content = path.stat(), path.read_bytes()
        headers = {
            "Last-Modified": formatdate(seen.st_mtime, usegmt=True),
            "ETag": f'"{int(seen.st_mtime):x}-{seen.st_size:x}"',
        }
        answers = len([one for one, _ in self.seen if one == handler.path])
        if "etag" in self.lies:
            headers["ETag"] = f'"server-{answers % 2}"'
        if "modified" in self.lies:
            headers["Last-Modified"] = formatdate(1_700_000_000 + answers, usegmt=True)
        headers = {name: headers[name] for name in headers if name in self.validators}
        code, start, end = 200, 0, len(content)
        known = list(headers.values())
        if self.ignores_if_range:
            known.append(handler.headers.get("If-Range", ""))
        wanted = byte_range(handler, len(content), known)
        if wanted is not None:
            start, end = wanted
            if start >= len(content):
                # As nginx does; RFC 9110, 15.5.17.
                span = {"Content-Range": f"bytes */{len(content)}"}
                self._send(handler, 416, b"no such range", {**headers, **span})
                return
            code = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        self._send(handler, code, content[start:end], headers, path.name == TARBALL)

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        code: int,
        body: bytes,
        headers: dict[str, str],
        faulty: bool = False,
    ) -> None:
        handler.send_response(code)
        length = len(body) if self.claimed is None or "ETag" not in headers else self.claimed
        if self.tells_length:
            handler.send_header("Content-Length", str(length))
        else:
            handler.send_header("Connection", "close")
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.end_headers()
        if faulty:
            self.send(handler, body)
        else:
            handler.wfile.write(body)


class FtpSite(Place):
    """A folder behind a real FTP server (pyftpdlib) with a user and a password."""

    USER, PASSWORD = "monitor", "s3cret-pa55"

    def __init__(self, root: Path, host: str = "127.0.0.1", **settings: Any) -> None:
        super().__init__(root)
        self.host = host
        self._server = FtpServer(root, self.USER, self.PASSWORD, host=host, **settings)
        self.port = self._server.port
        self.commands = self._server.commands

    def drop_connections(self) -> None:
        """Closes every control connection, as an idle time-out does."""
        self._server.drop_connections()

    def change_password(self, password: str) -> None:
        self._server.change_password(password)

    def close(self) -> None:
        self._server.close()


def options_for(local: Path, **given: object) -> fields.Options:
    """Options for a live directory in ``local``, the rest as in the example of docs/monitor.md."""
    local.mkdir(exist_ok=True)
    base: dict[str, object] = {
        "remote_path": "/",
        "remote_model_name": TARBALL,
        "remote_donefile_name": "donefile",
        "local_path": str(local),
        "local_model_name": MODEL,
        "unpacked_filename": MODEL,
        "interval": "0.05",
    }
    return fields.from_mapping({**base, **given})


@contextlib.contextmanager
def closing_all(*things: Any) -> Iterator[None]:
    try:
        yield
    finally:
        for thing in things:
            thing.close()
