"""``/metrics`` (Prometheus), ``/healthz`` and ``/readyz`` on one port, for all models of a process.

``/healthz`` answers 200 while every model has shown a sign of life lately, else 503. It also
answers 503 before the first poll. A sign of life is a poll that reached the remote, even if there
is no donefile. Each piece of a release that the monitor receives or works on is one, too. The body
names each model without a sign of life, and why. ``/readyz`` answers 503 in these cases, too, and
while the server does not serve the installed release. ``POST /-/poll`` with the right token lets
the models look at their donefiles at once.
"""

from __future__ import annotations

import hmac
import io
import socket
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import parse_qs, urlsplit

from .errors import BadOption
from .log import logger
from .mask import mask
from .options.secrets import from_file

if TYPE_CHECKING:
    from .watch.watch import Watch

_POLL = "/-/poll"
# A poke's body, such as a message from a bucket, is read and ignored.
_MAX_BODY = 64 * 1024
# The limit for receiving a request and sending its answer.
SLOWEST_S = 10.0
_FAILURES = "Failures by family: remote, release, machine."
# name, help, field of Figures, labels beside the model
_COUNTERS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("polls", "Polls of the donefile.", "polls", {}),
    ("pokes", "Polls that SIGHUP or POST /-/poll asked for.", "pokes", {}),
    ("pokes_refused", "POST /-/poll requests without the right token.", "pokes_refused", {}),
    ("swaps", "Releases swapped in.", "swaps", {}),
    ("rollbacks", "Bad releases taken out of service by --on_bad_release.", "rollbacks", {}),
    ("pulled_bytes", "Bytes pulled.", "bytes_pulled", {}),
    ("failures", _FAILURES, "failures_remote", {"family": "remote"}),
    ("failures", _FAILURES, "failures_release", {"family": "release"}),
    ("failures", _FAILURES, "failures_machine", {"family": "machine"}),
    ("hook_failures", "Failed tries to tell a hook of a swap.", "hook_failures", {}),
    ("hooks_lost", "Notices dropped because too many waited for a hook.", "hooks_lost", {}),
)
_GAUGES = (
    ("last_poll_seconds", "When the donefile was last polled.", "last_poll"),
    ("last_swap_seconds", "When a release was last swapped in.", "last_swap"),
    ("release", "Number of the live release, -1 when it has none.", "release"),
    ("not_served", "1 while the installed release is not served in time, else 0.", "not_served"),
    (
        "served_release",
        "Number of the release that was last found served, -1 for none.",
        "served_release",
    ),
    ("last_served_seconds", "When a release was last found served.", "last_served"),
    (
        "failures_in_a_row",
        "Failures of the remote or the machine since the last complete poll.",
        "failures_in_a_row",
    ),
    ("quarantined", "1 while the announced release is in quarantine, else 0.", "quarantined"),
    ("held_back", "1 while a rollback holds the announced release back, else 0.", "held_back"),
    ("on_hold", "1 while an operator holds all releases back, else 0.", "on_hold"),
    ("pinned_release", "Number of the pinned release, -1 when there is none.", "pinned"),
    ("untrusted", "1 while --verify_signature refuses the donefile, else 0.", "untrusted"),
    ("hooks_pending", "Notices that wait for a hook.", "hooks_pending"),
)


def as_markdown() -> str:
    """Return the table of metrics as ``docs/monitor.md`` shows it."""
    rows = {f"{name}_total": (text, ", ".join(labels)) for name, text, _, labels in _COUNTERS}
    rows.update({name: (text, "") for name, text, _ in _GAUGES})
    lines = ["| metric | meaning | further label |", "| --- | --- | --- |"]
    for name, (text, label) in rows.items():
        shown = f"`{label}`" if label else "none"
        lines.append(f"| `serving_monitor_{name}` | {text} | {shown} |")
    return "\n".join(lines)


def healthy_for(watch: Watch) -> float:
    """Return the seconds without a sign of life after which a model is not healthy."""
    options = watch.options
    checking = options.check_timeout if options.check_command else 0.0
    return 2 * (options.longest_pause + options.timeout) + checking


def ailing(watches: Sequence[Watch], now: float) -> list[str]:
    """Return one line for each model that is not well at ``now`` of ``time.monotonic``."""
    found = []
    for watch in watches:
        figures = watch.reporter.figures
        since = None if figures.last_life is None else now - figures.last_life
        if since is not None and since <= healthy_for(watch):
            continue
        how_long = "yet" if since is None else f"for {since:.0f} s"
        name, why = watch.options.local_model_name, figures.last_error or "busy"
        found.append(f"{name}: no look at the donefile {how_long}; {why}")
    return found


def not_served(watches: Sequence[Watch]) -> list[str]:
    """Return one line for each model whose installed release is not served in time."""
    return [
        f"{watch.options.local_model_name}: the installed release is not served; "
        f"{watch.reporter.figures.not_served_why}"
        for watch in watches
        if watch.reporter.figures.not_served
    ]


def refused(sent: str, token_file: str) -> Optional[tuple[int, str]]:
    """Check the token of a request.

    Args:
        sent: The header ``Authorization``; empty without one.
        token_file: The file that holds the token, read again each time; empty for none.

    Returns:
        The status, and a sentence that says why; None if the token is right.
    """
    if not token_file:
        return 403, "start the monitor with --poll_token_file to allow this"
    try:
        token = from_file(token_file, "--poll_token_file")
    except BadOption as error:
        logger.warning("%s", error)
        return 403, "the monitor cannot read its --poll_token_file; its log says why"
    expected = f"Bearer {token}".encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(sent.encode("latin-1", "replace"), expected):
        return 401, "send 'Authorization: Bearer TOKEN' with the token of --poll_token_file"
    return None


def poke(watches: Sequence[Watch], target: str) -> tuple[int, str]:
    """Let the models look at once.

    Args:
        watches: The models of this process.
        target: The request's path and query; ``model`` names one model.

    Returns:
        The status, and a sentence that says why.
    """
    names = parse_qs(urlsplit(target).query, keep_blank_values=True).get("model")
    chosen = [one for one in watches if names is None or one.options.local_model_name in names]
    if not chosen:
        return 404, "no model of that name is watched here"
    for one in chosen:
        one.poke()
    return 202, "looking"


class Endpoint:
    """The HTTP server of one process. Raises ``BadOption`` when it cannot start."""

    def __init__(
        self, watches: Sequence[Watch], host: str, port: int, poll_token_file: str
    ) -> None:
        if poll_token_file:
            from_file(poll_token_file, "--poll_token_file")
        try:
            import prometheus_client
            from prometheus_client import core
        except ImportError:
            raise BadOption(
                "--metrics_port needs prometheus_client; in the checkout, type "
                "`pip install './monitor[metrics]'`"
            ) from None
        registry = prometheus_client.CollectorRegistry(auto_describe=False)
        registry.register(_Collector(watches, core))

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                super().setup()
                self.rfile = io.BufferedReader(_Incoming(self.connection))

            def do_POST(self) -> None:
                if urlsplit(self.path).path != _POLL:
                    self._answer(404, f"POST goes to {_POLL}\n".encode(), "text/plain")
                    return
                code, text = self._poke()
                self._answer(code, f"{text}\n".encode(), "text/plain")

            def _poke(self) -> tuple[int, str]:
                # Check the token first, so that the body of a wrong request is not read.
                refusal = refused(self.headers.get("Authorization", ""), poll_token_file)
                if refusal is not None:
                    for watch in watches:
                        watch.reporter.figures.pokes_refused += 1
                    return refusal
                length = self.headers.get("Content-Length", "0")
                size = int(length) if length.isdecimal() else 0
                if size > _MAX_BODY:
                    return 413, f"send at most {_MAX_BODY // 1024} KiB; the body is not used"
                self.rfile.read(size)
                return poke(watches, self.path)

            def do_GET(self) -> None:
                if self.path.partition("?")[0] == "/metrics":
                    kind = prometheus_client.CONTENT_TYPE_LATEST
                    self._answer(200, prometheus_client.generate_latest(registry), kind)
                elif self.path in ("/healthz", "/readyz"):
                    wrong = ailing(watches, time.monotonic())
                    if self.path == "/readyz":
                        wrong += not_served(watches)
                    text = mask("\n".join(wrong)) or "ok"
                    self._answer(503 if wrong else 200, f"{text}\n".encode(), "text/plain")
                else:
                    text = f"/metrics, /healthz, /readyz, or POST {_POLL}\n"
                    self._answer(404, text.encode(), "text/plain")

            def _answer(self, code: int, body: bytes, kind: str) -> None:
                self.connection.settimeout(SLOWEST_S)
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                # A line for each scrape would fill the log.
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def handle_error(self, *_: Any) -> None:
                # A lost client needs no log line. The library's method would print a traceback.
                if not isinstance(sys.exc_info()[1], OSError):
                    logger.error("cannot answer a request on --metrics_port", exc_info=True)

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            raise BadOption(
                f"cannot listen on --metrics_host {host} --metrics_port {port}: "
                f"{error.strerror}; choose another"
            ) from None
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


class _Incoming(io.RawIOBase):
    """A client's bytes, with one time limit for all, so that no slow client blocks a thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + SLOWEST_S

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout(f"the request did not come within {SLOWEST_S:g} s")
        self._connection.settimeout(left)
        return self._connection.recv_into(into)


class _Collector:
    """Reads the figures at every scrape."""

    def __init__(self, watches: Sequence[Watch], core: Any) -> None:
        self._watches = watches
        self._core = core

    def collect(self) -> Iterable[Any]:
        families: dict[str, Any] = {}
        for name, text, field, extra in _COUNTERS:
            full = f"serving_monitor_{name}"
            family = families.setdefault(
                full,
                self._core.CounterMetricFamily(full, text, labels=["model", *extra]),
            )
            self._add(family, field, list(extra.values()))
        for name, text, field in _GAUGES:
            full = f"serving_monitor_{name}"
            family = self._core.GaugeMetricFamily(full, text, labels=["model"])
            families[full] = family
            self._add(family, field, [])
        return families.values()

    def _add(self, family: Any, field: str, extra: list[str]) -> None:
        for watch in self._watches:
            value = getattr(watch.reporter.figures, field)
            family.add_metric([watch.options.local_model_name, *extra], value)
