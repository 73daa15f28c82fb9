"""Measures any server on a port with one and the same client program.

    python -m bench.engine                        starts the embedded engine and measures it
    python -m bench.engine --binary PATH          the same with another serving binary
    python -m bench.engine --port 9292            measures what runs there already
    python -m bench.engine --short                a second a row
    python -m bench.engine --only reloads         only what reloads cost

Prints one table: a row for each client, with the median of the rounds for requests/s, p50, p99
and p99.9, and beside it what the real server gave on two quiet cores and the ratio to it; then
the same under reloads (unless ``--port``). The calibration figure is how often a second this
machine parses the JSON request and runs the model, in one loop without a server: figures of two
days compare after dividing by it.

Exit code 1 when a request failed or was answered with another price, or when there were no
reloads to measure under; 2 for bad input.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from bench.engine import http_load
from bench.engine.http_load import Loaded
from bench.likeness import server as likeness_server
from bench.likeness.checks import JSON_BODY, PRICE, PRICE_2
from harness.errors import BadInput, Failed, HarnessError

# While two models take turns, either price is right.
BOTH = (PRICE, PRICE_2)
SHORTEST_UNDER_RELOADS_S = 3.0
# 15 reloads in 20 s.
RELOAD_EVERY_S = 20 / 15


class Row(NamedTuple):
    """One line of the table; what begins with ``real_`` was measured on the real server."""

    name: str
    kind: str
    clients: int
    real_rps: Optional[float] = None
    real_p50_ms: Optional[float] = None
    real_p99_ms: Optional[float] = None


# The real server's figures: 2 quiet cores shared with the client, --thread 10 (docs of the bench).
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
# Measured without reloads as well.
RELOADED = tuple(Row(f"reloads, {clients} connections", "http", clients) for clients in (4, 64))


class Figures(NamedTuple):
    """Of one load: requests/s, and latencies in milliseconds."""

    rps: float
    p50: float
    p99: float
    p999: float
    failed: int


def figures(loaded: Loaded) -> Figures:
    """Reads the percentiles off sorted latencies."""
    latencies = loaded.latencies
    if not latencies:
        raise Failed(f"not one request was answered: {loaded.first_failure}")

    def at(share: float) -> float:
        return latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1e3

    return Figures(len(latencies) / loaded.wall_s, at(0.5), at(0.99), at(0.999), loaded.failed)


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
            latencies = np.sort(np.concatenate([np.load(out) for out in outs]))
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return Loaded(latencies.tolist(), failed, seconds, first)


@contextmanager
def reloading(
    server: likeness_server.Launched, every_s: float, at_least: int
) -> Iterator[list[int]]:
    """Installs two models in turns all the while; gives a list with the number of reloads.

    Raises ``Failed`` behind the block when models could not be installed, or were reloaded fewer
    than ``at_least`` times: nothing was measured then. In a process of its own: a thread would
    take the interpreter lock from the clients that measure, whose latency would then count as the
    server's.
    """
    forked = multiprocessing.get_context("fork")
    stop = forked.Event()

    def work(models: Sequence[Path]) -> None:
        # What is measured is the server that reloads, not who installs models on its machine.
        os.nice(19)
        turn = 0
        while True:
            server.install(models[turn % 2], place=os.link)
            turn += 1
            if stop.wait(every_s):
                return

    count = [0]
    before = server.reloads()
    # Where a link to the live directory can lead.
    with tempfile.TemporaryDirectory(dir=server.folder, prefix="to-install-") as folder:
        models = [
            Path(shutil.copytree(likeness_server.models() / name, Path(folder, name)))
            for name in ("uci_2", "uci")
        ]
        process = forked.Process(target=work, args=(models,), daemon=True)
        process.start()
        try:
            yield count
        finally:
            stop.set()
            process.join()
    count[0] = server.reloads() - before
    if process.exitcode != 0:
        raise Failed(f"the process that installs models ended with exit code {process.exitcode}")
    if count[0] < at_least:
        raise Failed(f"{count[0]} reloads, and at least {at_least} were to be measured under")


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


def p999_ratio(quiet: list[Figures], busy: list[Figures]) -> float:
    """How many times p99.9 under reloads is that without: the median of the rounds."""
    return statistics.median(with_.p999 / without.p999 for without, with_ in zip(quiet, busy))


def measure(options: argparse.Namespace) -> int:
    """Everything between the options and the exit code."""
    models = likeness_server.models()
    seconds = 1.0 if options.short else options.seconds
    rounds = 1 if options.short else options.rounds
    chosen = [row for row in ROWS if not options.only or options.only in row.name]
    reloaded = [row for row in RELOADED if not options.only or options.only in row.name]
    if not chosen and not reloaded:
        raise BadInput(
            f"--only {options.only} names no row; the rows are "
            + "; ".join(row.name for row in (*ROWS, *RELOADED))
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
        pairs: list[tuple[Row, list[Figures]]] = []
        if server is not None and not options.no_reloads:
            pairs = under_reloads(reloaded, server, seconds, rounds, configuration)
            results += pairs
    finally:
        if server is not None:
            server.stop()
    print(table(results, calibration))
    for (row, quiet), (_, busy) in zip(pairs[::2], pairs[1::2]):
        print(
            f"{row.clients} connections: p99.9 under reloads is {p999_ratio(quiet, busy):.2f} "
            f"times that without (median of {rounds})"
        )
    return 1 if any(one.failed for _, measured in results for one in measured) else 0


def under_reloads(
    rows: Sequence[Row],
    server: likeness_server.Launched,
    seconds: float,
    rounds: int,
    configuration: Path,
) -> list[tuple[Row, list[Figures]]]:
    """The rows without and with reloads, in turns, so that both see the same machine."""
    pairs: list[tuple[Row, list[Figures]]] = []
    seconds = max(seconds, SHORTEST_UNDER_RELOADS_S)
    # One is installed every 1.3 s, is seen up to a tick of a second later, and takes its time.
    at_least = int(seconds / SHORTEST_UNDER_RELOADS_S)
    for busy in rows:
        quiet = busy._replace(name=f"no {busy.name}")
        quiet_figures: list[Figures] = []
        busy_figures: list[Figures] = []
        reloads = 0
        for _ in range(rounds):
            quiet_figures.append(figures(load(quiet, server.port, seconds, configuration, BOTH)))
            with reloading(server, RELOAD_EVERY_S, at_least) as count:
                busy_figures.append(figures(load(busy, server.port, seconds, configuration, BOTH)))
            reloads += count[0]
        pairs.append((quiet, quiet_figures))
        pairs.append((busy._replace(name=f"{busy.name} ({reloads})"), busy_figures))
    return pairs


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
