"""One row of the table: which clients load a server, and the figures that come of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.engine import http_load
from bench.engine.http_load import Loaded
from harness.conformance.serving.checks import JSON_BODY
from harness.support.errors import Failed


class Row(NamedTuple):
    """One line of the table: which clients, and how many."""

    name: str
    kind: str
    clients: int


class Figures(NamedTuple):
    """Of one load: requests/s, and latencies in milliseconds."""

    rps: float
    p50: float
    p99: float
    p999: float
    failed: int


def percentile(latencies: Sequence[float], share: float) -> float:
    """Milliseconds that this share of the sorted latencies (seconds) stays under."""
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1e3


def figures(loaded: Loaded) -> Figures:
    """What the table shows of a load. Raises ``Failed`` when nothing was answered."""
    latencies = sorted(loaded.latencies)
    if not latencies:
        raise Failed(f"not one request was answered: {loaded.first_failure}")
    p50, p99, p999 = (percentile(latencies, share) for share in (0.5, 0.99, 0.999))
    return Figures(len(latencies) / loaded.wall_s, p50, p99, p999, loaded.failed)


def load(
    row: Row, port: int, seconds: float, configuration: Path, prices: Sequence[float]
) -> Loaded:
    """Runs one row's clients against a port. An answer that is none of ``prices`` (when there are
    some) counts as failed."""
    if row.kind == "http":
        host = f"127.0.0.1:{port}"
        return http_load.run(
            ("127.0.0.1", port),
            http_load.request_bytes(host, JSON_BODY),
            connections=row.clients,
            seconds=seconds,
            expected=[b'"float_data":[%.1f]' % price for price in prices],
        )
    script = str(Path(__file__).with_name("client_load.py"))
    with tempfile.TemporaryDirectory(prefix="bench-engine-") as folder:
        outs = [Path(folder) / f"{index}.npy" for index in range(row.clients)]
        processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    script,
                    row.kind,
                    str(configuration),
                    f"127.0.0.1:{port}",
                    str(seconds),
                    str(out),
                    *(str(price) for price in prices[:1]),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for out in outs
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                if process.stdout.readline().strip() != "ready":
                    raise Failed(f"a {row.kind} client did not start; try it by hand: {script}")
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            failed = 0
            first = ""
            for process in processes:
                words = process.communicate(timeout=seconds + 60)[0].partition(" ")
                failed += int(words[0])
                first = first or words[2].strip()
            latencies = np.concatenate([np.load(out) for out in outs])
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return Loaded(latencies.tolist(), failed, seconds, first)
