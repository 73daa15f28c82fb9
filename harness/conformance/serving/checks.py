"""What every check needs: the serving binary under test, comparisons, the price of a request."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from harness.support.errors import Failed
from harness.support.paths import cache_dir

from . import server as _server
from .by_hand import ByHand
from .server import Launched, Server
from .wire import http

JSON_BODY = (
    b'{"tensor":[{"float_data":[1,1,1,1,1,1,1,1,1,1,1,1,1],"elem_type":1,"name":"x",'
    b'"alias_name":"x","shape":[1,13]}],"fetch_var_names":["price"],"log_id":0}'
)
# What the model answers to it: 1 + 2 + … + 13, and a bias of 1.
PRICE = 92.0
# The most that is kept of a log, in bytes.
_MAX_LOG = 64 * 1024
_FROM_BEGINNING: Mapping[Path, int] = {}
# The second model's price for the same row: twice the weights, twice the bias.
PRICE_2 = 2 * PRICE


class Differs(AssertionError):
    """The fact does not hold; the text says what was seen instead."""


class Missing(Exception):
    """The fact cannot be looked at on this machine; the text says what is missing."""


def same(seen: Any, expected: Any, what: str = "") -> None:
    """Raise ``Differs`` unless both are equal."""
    if seen != expected:
        raise Differs(f"{what + ': ' if what else ''}{seen!r} instead of {expected!r}")


def holds(condition: object, what: str) -> None:
    """Raise ``Differs`` with ``what`` was seen, unless the condition is true."""
    if not condition:
        raise Differs(what)


def _logs_of(server: Optional[Server]) -> list[Path]:
    return [server.process.log, server.log_file()] if server is not None else []


class Subject:
    """The serving binary under test. ``server`` runs the uci model; ``launch`` starts others."""

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        self._stack = contextlib.ExitStack()
        self._server: Optional[Launched] = None
        self._logs: Optional[Path] = None

    @property
    def server(self) -> Launched:
        """One server for all the checks that leave it as it was.

        It starts when it is first used, and again after a check has ended it.
        """
        if self._server is not None and not self._server.process.running:
            self.close()
        if self._server is None:
            self._server = self._stack.enter_context(
                Launched(
                    self.binary,
                    self.models / "uci",
                    threads=4,
                    options=["--max_body_size", str(64 * 1024 * 1024)],
                )
            )
        return self._server

    @property
    def ended(self) -> bool:
        """Whether the shared server was started and answers no more.

        An open port proves nothing: a dying server still listens for a moment.
        """
        if self._server is None:
            return False
        try:
            return http(self._server.port, method="GET", path="/health").status != 200
        except (OSError, EOFError):
            return True

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def models(self) -> Path:
        try:
            return _server.models()
        except Failed as error:
            raise Missing(str(error)) from None

    @property
    def large_model(self) -> Path:
        """A model of 200 MB that predicts what ``uci_2`` does."""
        try:
            return _server.models(_server.LARGE_MODEL) / "large"
        except Failed as error:
            raise Missing(str(error)) from None

    def client_configuration(self, model: str = "uci") -> Path:
        return self.models / f"{model}_client" / "serving_client_conf.prototxt"

    @contextlib.contextmanager
    def launch(self, model: str = "uci", **options: Any) -> Iterator[Launched]:
        """A server of its own."""
        with Launched(self.binary, self.models / model, **options) as launched:
            try:
                yield launched
            finally:
                self._keep_logs_of(launched)

    @contextlib.contextmanager
    def by_hand(self, **options: Any) -> Iterator[ByHand]:
        """A server of its own without the launcher, like the shared one; not started yet."""
        with self.folder() as folder, ByHand(self.binary, self.server, folder, **options) as one:
            try:
                yield one
            finally:
                self._keep_logs_of(one)

    def dies_of(
        self, signum: signal.Signals, do: Callable[[ByHand], object], what: str
    ) -> tuple[str, str]:
        """Raise ``Differs`` unless the signal ends a fresh server to which ``do`` was done.

        Returns what the server printed, and its serving.ERROR. Raises ``Failed`` if it runs on.
        """
        with self.by_hand() as one:
            one.start()
            do(one)
            same(one.process.wait(20), 128 + signum, f"exit code with {what}")
            return one.process.log.read_text(errors="replace"), one.log("ERROR")

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=cache_dir("conformance")) as name:
            yield Path(name)

    @contextlib.contextmanager
    def keep_logs(self, folder: Path) -> Iterator[None]:
        """Copy the logs of all servers of the block into ``folder``; made if there is a log.

        Of the shared server's logs, copy only what the server writes in the block.
        """
        self._logs = folder
        begins = {log: log.stat().st_size for log in _logs_of(self._server) if log.exists()}
        try:
            yield
        finally:
            if self._server is not None:
                self._keep_logs_of(self._server, begins)
            self._logs = None

    def _keep_logs_of(self, server: Server, begins: Mapping[Path, int] = _FROM_BEGINNING) -> None:
        if self._logs is None:
            return
        for log in _logs_of(server):
            with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
                file.seek(max(begins.get(log, 0), log.stat().st_size - _MAX_LOG))
                text = file.read()
                if text:
                    self._logs.mkdir(parents=True, exist_ok=True)
                    number = len(list(self._logs.iterdir())) + 1
                    (self._logs / f"{number}-{log.name.removesuffix('.log')}.log").write_bytes(text)

    def close(self) -> None:
        self._stack.close()
        self._server = None
