"""The rows of the table: which clients load a server, and the figures that come of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.engine import http_load
from bench.engine.http_load import Loaded
from harness.conformance.serving import server
from harness.conformance.serving.checks import JSON_BODY, PRICE, PRICE_2
from harness.support.errors import Failed

# 15 reloads in 20 s.
EVERY_S = 20 / 15
CLIENT = str(Path(__file__).with_name("client_load.py"))


class Row(NamedTuple):
    """One line of the table: which clients, how many, and whether models are reloaded meanwhile."""

    name: str
    kind: str
    clients: int
    reloads: bool = False


ROWS = (
    Row("compiled client, 1 process", "compiled", 1),
    Row("compiled client, 4 processes", "compiled", 4),
    Row("HTTP JSON, 1 connection", "http", 1),
    Row("HTTP JSON, 4 connections", "http", 4),
    Row("HTTP JSON, 16 connections", "http", 16),
    Row("HTTP JSON, 64 connections", "http", 64),
    Row("reloads, 4 JSON connections", "http", 4, True),
    Row("reloads, 64 JSON connections", "http", 64, True),
)


class Figures(NamedTuple):
    """What one load gave: requests/s, latencies in milliseconds, and counts."""

    rps: float
    p50: float
    p99: float
    p999: float
    failed: int
    reloads: int


def measured(row: Row, launched: server.Launched, seconds: float) -> Figures:
    """Load a server with a row's clients.

    Raises:
        Failed: No request was answered, or models were not reloaded as they should be.
    """
    if row.reloads:
        with reloading(launched, int(seconds / 3)) as reloads:
            loaded = load(row, launched.port, seconds, (PRICE, PRICE_2))
    else:
        reloads = []
        loaded = load(row, launched.port, seconds, (PRICE,))
    if not loaded.latencies:
        raise Failed(f"not one request was answered: {loaded.first_failure}")
    if loaded.failed:
        print(f"{row.name}: {loaded.first_failure}", file=sys.stderr)
    p50, p99, p999 = np.percentile(loaded.latencies, (50, 99, 99.9)) * 1e3
    rps = len(loaded.latencies) / loaded.wall_s
    return Figures(rps, p50, p99, p999, loaded.failed, len(reloads))


@contextlib.contextmanager
def reloading(launched: server.Launched, at_least: int) -> Iterator[list[server.Span]]:
    """Install two models in turns during the block. Yield a list that has the reloads after it.

    Raises:
        Failed: There were fewer reloads than ``at_least``.
    """
    reloads: list[server.Span] = []
    before = len(launched.reload_spans())
    models = [server.models() / name for name in ("uci_2", "uci")]
    stop = threading.Event()

    def install() -> None:
        turn = 0
        while not stop.is_set():
            launched.install(models[turn % 2])
            turn += 1
            stop.wait(EVERY_S)

    with ThreadPoolExecutor(1) as installer:
        installing = installer.submit(install)
        try:
            yield reloads
        finally:
            stop.set()
    installing.result()
    reloads += launched.reload_spans()[before:]
    # The next row expects the first model.
    launched.reload(models[1])
    if len(reloads) < at_least:
        raise Failed(f"there were {len(reloads)} reloads instead of at least {at_least}")


def load(row: Row, port: int, seconds: float, prices: Sequence[float]) -> Loaded:
    """Run a row's clients against a port. An answer that is none of ``prices`` has failed."""
    if row.kind == "http":
        return http_load.run(
            ("127.0.0.1", port),
            http_load.request_bytes(f"127.0.0.1:{port}", JSON_BODY),
            connections=row.clients,
            seconds=seconds,
            expected=[b'"float_data":[%.1f]' % price for price in prices],
        )
    configuration = str(server.models() / "uci_client" / "serving_client_conf.prototxt")
    words = [sys.executable, CLIENT, configuration, f"127.0.0.1:{port}", str(seconds)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-engine-") as folder,
        contextlib.ExitStack() as stack,
    ):
        outs = [Path(folder, f"{number}.npy") for number in range(row.clients)]
        clients = []
        for out in outs:
            client = subprocess.Popen(
                [*words, str(out), str(prices[0])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            stack.callback(client.wait)
            stack.callback(client.kill)
            clients.append(client)
        for client in clients:
            assert client.stdout is not None
            if client.stdout.readline().strip() != "ready":
                raise Failed(f"a compiled client did not start; try it by hand: {CLIENT}")
        for client in clients:
            assert client.stdin is not None
            client.stdin.write("go\n")
            client.stdin.flush()
        said = [client.communicate(timeout=seconds + 60)[0].partition(" ") for client in clients]
        latencies = np.concatenate([np.load(out) for out in outs]).tolist()
    failed = sum(int(count) for count, _, _ in said)
    first_failure = next((text.strip() for _, _, text in said if text.strip()), "")
    return Loaded(latencies, failed, seconds, first_failure)
