"""Measures any server on a port with one and the same client program.

    python -m bench.engine                        starts the embedded engine and measures it
    python -m bench.engine --binary PATH          the same with another serving binary
    python -m bench.engine --against PATH         two binaries, which take turns at each row
    python -m bench.engine --port 9292            measures what runs there already
    python -m bench.engine --short                a second a row
    python -m bench.engine --only reloads         only what reloads cost

Prints one table: a row for each client, with the median of the rounds for requests/s, p50, p99
and p99.9. With ``--against`` the other binary's figures stand beside it, and the ratio to them.
Without it, and without ``--port``, the same follows under reloads, and what these made of p99.9.
The calibration figure is how often a second this machine parses the JSON request and runs the
model, in one loop without a server.

Exit code 1 when a request failed or was answered with another price, or when there were no
reloads to measure under; 2 for bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.engine import reloads
from bench.engine.loads import Figures, Row, figures, load
from harness.conformance.serving import server as likeness_server
from harness.conformance.serving.checks import PRICE
from harness.support.errors import BadInput, Failed, HarnessError

ROWS = (
    Row("compiled client, 1 process", "compiled", 1),
    Row("compiled client, 4 processes", "compiled", 4),
    Row("HTTP JSON, 1 connection", "http", 1),
    Row("HTTP JSON, 4 connections", "http", 4),
    Row("HTTP JSON, 16 connections", "http", 16),
    Row("HTTP JSON, 64 connections", "http", 64),
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


class Line(NamedTuple):
    """One line of the table; ``other`` are the figures of ``--against``, round by round."""

    row: Row
    own: list[Figures]
    other: list[Figures]


def table(lines: Sequence[Line], calibration: float) -> str:
    """Return the text that is printed at the end."""
    columns = f"{'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} {'failed':>7}"
    compared = any(line.other for line in lines)
    head = f"{'client':34} {columns}" + (f" | {columns} | ratio" if compared else "")
    text = [head, "-" * len(head)]
    for row, own, other in lines:
        line = f"{row.name:34} {_medians(own)}"
        if other:
            ratio = statistics.median(one.rps / two.rps for one, two in zip(own, other))
            line += f" | {_medians(other)} | {ratio:5.2f}"
        text.append(line)
    text.append(f"calibration: {calibration:.0f} JSON parsings with predictor.run() a second")
    return "\n".join(text)


def _medians(rounds: Sequence[Figures]) -> str:
    rps, p50, p99, p999 = (
        statistics.median(getattr(one, name) for one in rounds)
        for name in ("rps", "p50", "p99", "p999")
    )
    failed = sum(one.failed for one in rounds)
    return f"{rps:8.0f} {p50:8.3f} {p99:8.2f} {p999:9.2f} {failed:7d}"


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
    if not chosen and (options.no_reloads or options.against or options.port is not None):
        raise BadInput(
            f"--only {options.only} names rows under reloads, which are measured on a server that "
            "the bench starts; leave --port, --against and --no_reloads out"
        )
    lines = [Line(row, [], []) for row in chosen]
    calibration = calibrate(models / "uci", 0.5 if options.short else 2.0)
    configuration = models / "uci_client" / "serving_client_conf.prototxt"
    with contextlib.ExitStack() as stack:
        started: list[likeness_server.Launched] = []
        for given in () if options.port is not None else (options.binary, options.against):
            if given is None and started:
                break
            binary = likeness_server.binary(given)
            print(f"binary: {binary}")
            started.append(likeness_server.Launched(binary, models / "uci", tick_s=1, threads=10))
            stack.callback(started[-1].stop)
            started[-1].start()
        ports = [server.port for server in started] or [options.port]
        # A server that the bench did not start may have any model.
        prices = (PRICE,) if started else ()
        for number in range(rounds):
            for line in lines:
                for port, measured in zip(ports, (line.own, line.other)):
                    measured.append(figures(load(line.row, port, seconds, configuration, prices)))
                print(
                    f"round {number + 1}: {line.row.name}: {line.own[-1].rps:.0f}/s",
                    file=sys.stderr,
                )
        under_reloads: list[reloads.Measured] = []
        if len(started) == 1 and not options.no_reloads:
            under_reloads = reloads.measure(reloaded, started[0], seconds, rounds, configuration)
    lines += [Line(row, found, []) for one in under_reloads for row, found in one.rows()]
    print(table(lines, calibration))
    for one in under_reloads:
        print(one.sentence())
    return 1 if any(one.failed for line in lines for one in (*line.own, *line.other)) else 0


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--binary", help="serving binary (default: SERVING_BIN or the engine)")
    options.add_argument("--against", help="another binary, measured in turns with the first")
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
