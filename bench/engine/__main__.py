"""Measures any server on a port with one and the same client program.

    python -m bench.engine                        starts the embedded engine and measures it
    python -m bench.engine --binary PATH          the same with another serving binary
    python -m bench.engine --port 9292            measures what runs there already
    python -m bench.engine --short                a second a row
    python -m bench.engine --only reloads         only what reloads cost

Prints one table: a row for each client, with the median of the rounds for requests/s, p50, p99
and p99.9, and beside it what the real server gave on two quiet cores and the ratio to it; then
the same under reloads (unless ``--port``), and what these made of p99.9. The calibration figure
is how often a second this machine parses the JSON request and runs the model, in one loop without
a server: figures of two kinds of machine compare after dividing by it.

Exit code 1 when a request failed or was answered with another price, or when there were no
reloads to measure under; 2 for bad input.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

from bench.engine import reloads
from bench.engine.loads import Figures, Row, figures, load
from harness.conformance.serving import server as likeness_server
from harness.conformance.serving.checks import PRICE
from harness.support.errors import BadInput, Failed, HarnessError

# The real server's figures: 2 quiet cores shared with the client, --thread 10.
ROWS = (
    Row("compiled client, 1 process", "compiled", 1, 1200, 0.78, 2.0),
    Row("compiled client, 4 processes", "compiled", 4, 2020, 1.6, None),
    Row("HTTP JSON, 1 connection", "http", 1, 2000, 0.48, None),
    Row("HTTP JSON, 4 connections", "http", 4, 3000, 1.1, 10.0),
    Row("HTTP JSON, 16 connections", "http", 16, 2700, None, None),
    Row("HTTP JSON, 64 connections", "http", 64, 2900, 19.0, 60.0),
    Row("gRPC, 1 process", "grpc", 1),
    Row("gRPC, 4 processes", "grpc", 4),
)


def calibrate(model: Path, seconds: float = 1.0) -> float:
    """JSON parsings with ``predictor.run()`` a second, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("calibrate.py")), str(model), str(seconds)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"the calibration failed: {done.stderr.strip()[-400:]}")
    return float(done.stdout)


def table(rows: list[tuple[Row, list[Figures]]], calibration: float) -> str:
    """The text that is printed at the end."""
    head = (
        f"{'client':34} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} {'failed':>7}"
        f" {'real req/s':>11} {'ratio':>6} {'real p50':>9} {'real p99':>9}"
    )
    lines = [head, "-" * len(head)]
    for row, rounds in rows:
        rps, p50, p99, p999 = (
            statistics.median(getattr(one, name) for one in rounds)
            for name in ("rps", "p50", "p99", "p999")
        )
        real = f"{row.real_rps:11.0f} {rps / row.real_rps:6.2f}" if row.real_rps else ""
        for figure in (row.real_p50_ms, row.real_p99_ms):
            if row.real_rps:
                real += f" {figure:9.2f}" if figure else f" {'-':>9}"
        failed = sum(one.failed for one in rounds)
        lines.append(
            f"{row.name:34} {rps:8.0f} {p50:8.3f} {p99:8.2f} {p999:9.2f} {failed:7d} {real}"
        )
    lines.append(f"calibration: {calibration:.0f} JSON parsings with predictor.run() a second")
    return "\n".join(lines)


def measure(options: argparse.Namespace) -> int:
    """Everything between the options and the exit code."""
    models = likeness_server.models()
    seconds = 1.0 if options.short else options.seconds
    rounds = 1 if options.short else options.rounds
    chosen = [row for row in ROWS if not options.only or options.only in row.name]
    reloaded = [row for row in reloads.ROWS if not options.only or options.only in row.name]
    if not chosen and not reloaded:
        raise BadInput(
            f"--only {options.only} names no row; the rows are "
            + "; ".join(row.name for row in (*ROWS, *reloads.ROWS))
        )
    if not chosen and (options.no_reloads or options.port is not None):
        raise BadInput(
            f"--only {options.only} names rows under reloads, which are measured on a server that "
            "the bench starts; leave --port and --no_reloads out"
        )
    results: list[tuple[Row, list[Figures]]] = [(row, []) for row in chosen]
    calibration = calibrate(models / "uci", 0.5 if options.short else 2.0)
    configuration = models / "uci_client" / "serving_client_conf.prototxt"
    server: Optional[likeness_server.Launched] = None
    if options.port is None:
        binary = likeness_server.binary(options.binary)
        print(f"binary: {binary}")
        server = likeness_server.Launched(binary, models / "uci", tick_s=1, threads=10)
        server.start()
    port = options.port if server is None else server.port
    # Somebody else's server may have any model.
    prices = () if server is None else (PRICE,)
    try:
        for number in range(rounds):
            for row, measured in results:
                measured.append(figures(load(row, port, seconds, configuration, prices)))
                print(
                    f"round {number + 1}: {row.name}: {measured[-1].rps:.0f}/s",
                    file=sys.stderr,
                )
        under_reloads: list[reloads.Measured] = []
        if server is not None and not options.no_reloads:
            under_reloads = reloads.measure(reloaded, server, seconds, rounds, configuration)
    finally:
        if server is not None:
            server.stop()
    results += [row for one in under_reloads for row in one.rows()]
    print(table(results, calibration))
    for one in under_reloads:
        print(one.sentence())
    return 1 if any(one.failed for _, measured in results for one in measured) else 0


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--binary", help="serving binary (default: SERVING_BIN or the engine)")
    options.add_argument("--port", type=int, help="measure what runs on this port")
    options.add_argument("--seconds", type=float, default=5.0, help="seconds of a row (5)")
    options.add_argument("--rounds", type=int, default=3, help="rounds, medians are shown (3)")
    options.add_argument("--only", help="rows whose name contains this")
    options.add_argument("--no_reloads", action="store_true", help="leave the reloads out")
    options.add_argument("--short", action="store_true", help="one round of one second a row")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return measure(options.parse_args())
    except HarnessError as error:
        print(f"bench.engine: {error}", file=sys.stderr)
        return error.exit_code
    except ConnectionRefusedError:
        print("bench.engine: nothing listens on that port; start a server first", file=sys.stderr)
        return 2


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    started = time.monotonic()
    code = main()
    print(f"took {time.monotonic() - started:.0f} s", file=sys.stderr)
    sys.exit(code)
