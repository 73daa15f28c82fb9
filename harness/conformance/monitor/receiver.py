"""Receives what a monitor tells its hooks: a receiver of web hooks, and a program for other hooks.

Both note each notice in ``told``, and whether they took it.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .observed import Told


class Program:
    """A program for ``--on_swap``. It fails between ``fail`` and ``take``."""

    def __init__(self, folder: Path) -> None:
        self._log, self._fails = folder / "hook.log", folder / "hook-fails"
        self._log.touch()
        path = folder / "hook"
        # SERVING_MONITOR_RELEASE is the number of the release.
        path.write_text(
            "#!/bin/sh\n"
            f"if [ -e {shlex.quote(str(self._fails))} ]; then word=failed; else word=took; fi\n"
            f'echo "$word $SERVING_MONITOR_RELEASE" >> {shlex.quote(str(self._log))}\n'
            '[ "$word" = took ]\n'
        )
        path.chmod(0o755)
        self.command = shlex.quote(str(path))

    def fail(self) -> None:
        """Let the program end with exit code 1 from now on."""
        self._fails.touch()

    def take(self) -> None:
        """Let the program end with exit code 0 from now on."""
        self._fails.unlink()

    @property
    def told(self) -> list[Told]:
        """The notices that the program got so far."""
        lines = [line.partition(" ") for line in self._log.read_text().splitlines()]
        return [Told(word == "took", release) for word, _, release in lines]


class Receiver:
    """Takes POSTs at ``url``. Answers 500 as often as ``failures`` says, then 200."""

    def __init__(self, url: str, failures: int) -> None:
        self.url = url
        self.told: list[Told] = []
        self._failures = failures
        self._lock = threading.Lock()

    def answer(self, body: bytes) -> HTTPStatus:
        """Note a message; return the status of the answer."""
        message: Any = None
        with contextlib.suppress(ValueError):
            message = json.loads(body)
        message = message if isinstance(message, dict) else {}
        with self._lock:
            taken = len(self.told) >= self._failures
            number = message.get("release")
            self.told.append(Told(taken, "" if number is None else str(number), message))
        return HTTPStatus.OK if taken else HTTPStatus.INTERNAL_SERVER_ERROR


@contextlib.contextmanager
def receiving(failures: int) -> Iterator[Receiver]:
    """Give a receiver that listens on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "0")
            status = receiver.answer(self.rfile.read(int(length)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook", failures)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
