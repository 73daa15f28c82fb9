"""Measures a serving binary, or two in turns, with one and the same client program.

    python -m bench.engine                    the embedded engine
    python -m bench.engine --binary PATH      another serving binary
    python -m bench.engine --against PATH     two binaries, which take turns at each row
    python -m bench.engine --only reloads     only the rows under reloads

Prints a row for each client: the median of the rounds for requests/s, p50, p99 and p99.9. With
``--against`` the other binary's figures stand beside them, and the ratio to them.

The exit code is 1 when a request failed or got a wrong price, or when there were too few reloads.
It is 2 for bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.engine.loads import ROWS, Figures, Row, measured
from harness.conformance.serving import server
from harness.support.errors import BadInput, HarnessError


class Line(NamedTuple):
    """One line of the table, with the figures of each round."""

    row: Row
    own: list[Figures]
    # Of ``--against``.
    other: list[Figures]


def table(lines: Sequence[Line]) -> str:
    """Return the text that is printed at the end."""
    columns = (
        f"{'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9} {'reloads':>8} {'failed':>7}"
    )
    compared = any(line.other for line in lines)
    head = f"{'client':30} {columns}" + (f" | {columns} | ratio" if compared else "")
    text = [head, "-" * len(head)]
    for row, own, other in lines:
        line = f"{row.name:30} {_medians(own)}"
        if other:
            ratio = statistics.median(one.rps / two.rps for one, two in zip(own, other))
            line += f" | {_medians(other)} | {ratio:5.2f}"
        text.append(line)
    return "\n".join(text)


def _medians(rounds: Sequence[Figures]) -> str:
    rps, p50, p99, p999 = (
        statistics.median(getattr(one, name) for one in rounds)
        for name in ("rps", "p50", "p99", "p999")
    )
    reloads = sum(one.reloads for one in rounds)
    failed = sum(one.failed for one in rounds)
    return f"{rps:8.0f} {p50:8.3f} {p99:8.2f} {p999:9.2f} {reloads:8d} {failed:7d}"


def measure(options: argparse.Namespace) -> int:
    """Measure what the options ask for; return the exit code."""
    lines = [Line(row, [], []) for row in ROWS if not options.only or options.only in row.name]
    if not lines:
        names = "; ".join(row.name for row in ROWS)
        raise BadInput(f"--only {options.only} names no row; the rows are {names}")
    binaries = [server.binary(options.binary)]
    if options.against:
        binaries.append(server.binary(options.against))
    with contextlib.ExitStack() as stack:
        started = []
        for number, binary in enumerate(binaries):
            print(f"{('binary', 'against')[number]}: {binary}")
            launched = server.Launched(binary, server.models() / "uci", tick_s=1, threads=10)
            started.append(stack.enter_context(launched))
        for number in range(options.rounds):
            for line in lines:
                for one, found in zip(started, (line.own, line.other)):
                    found.append(measured(line.row, one, options.seconds))
                rps = line.own[-1].rps
                print(f"round {number + 1}: {line.row.name}: {rps:.0f}/s", file=sys.stderr)
    print(table(lines))
    failed = any(one.failed for line in lines for one in (*line.own, *line.other))
    return 1 if failed else 0


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--binary", help="serving binary (default: SERVING_BIN or the engine)")
    options.add_argument("--against", help="another binary, measured in turns with the first")
    options.add_argument("--seconds", type=float, default=5.0, help="seconds of a row (5)")
    options.add_argument("--rounds", type=int, default=3, help="rounds, medians are shown (3)")
    options.add_argument("--only", help="rows whose name contains this")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return measure(options.parse_args())
    except HarnessError as error:
        print(f"bench.engine: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    print(f"took {time.monotonic() - began:.0f} s", file=sys.stderr)
    sys.exit(code)
