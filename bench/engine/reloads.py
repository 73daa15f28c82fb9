"""What reloads cost the clients that ask meanwhile.

The clients load the server without and with reloads, in turns. That compares different times of
one machine, whose own unrest makes most of p99.9: ratios of single rounds lie far apart. So the
requests under reloads are compared among themselves as well: all of them with those that were
asked and answered while nothing was being installed, loaded or dropped. These had the same
machine at the same time, without the reloads.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Optional

from bench.engine.http_load import Loaded
from bench.engine.loads import Figures, Row, figures, load, percentile
from harness.conformance.serving import server as likeness_server
from harness.conformance.serving.checks import PRICE, PRICE_2
from harness.conformance.serving.server import Span
from harness.support import waits
from harness.support.errors import Failed

ROWS = tuple(Row(f"reloads, {clients} connections", "http", clients) for clients in (4, 64))
# While two models take turns, either price is right.
BOTH = (PRICE, PRICE_2)
SHORTEST_S = 3.0
# 15 reloads in 20 s.
EVERY_S = 20 / 15
# The process of the model before ends behind that line.
DROPPED_S = 0.4


class Measured(NamedTuple):
    """One row in several rounds. ``away`` is p99.9 in ms of those requests of ``busy`` that met
    no reload, and the ``reloads`` are those of all rounds."""

    row: Row
    quiet: list[Figures]
    busy: list[Figures]
    away: list[float]
    reloads: int

    def rows(self) -> list[tuple[Row, list[Figures]]]:
        """Two lines of the table."""
        name = self.row.name
        return [
            (self.row._replace(name=f"no {name}"), self.quiet),
            (self.row._replace(name=f"{name} ({self.reloads})"), self.busy),
        ]

    def sentence(self) -> str:
        """How many times p99.9 under reloads is that without, and that away from them."""
        without = ratios(self.busy, [one.p999 for one in self.quiet])
        away = ratios(self.busy, self.away)
        return (
            f"{self.row.clients} connections: p99.9 under reloads is {without} times that without, "
            f"and {away} times that of the same seconds' requests that met no reload "
            f"(medians of {len(self.busy)} rounds; in brackets the lowest and the highest)"
        )


def ratios(busy: Sequence[Figures], others: Sequence[float]) -> str:
    """The median of the rounds' ratios of p99.9, with the lowest and the highest."""
    found = [one.p999 / other for one, other in zip(busy, others)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


@contextmanager
def reloading(
    server: likeness_server.Launched, every_s: Optional[float], at_least: int
) -> Iterator[tuple[list[Span], list[Span]]]:
    """Installs two models in turns all the while; gives two lists, filled behind the block: when
    models were installed, and when they were reloaded. With None nothing is installed, and all
    else is the same.

    Raises ``Failed`` behind the block when models could not be installed, or were reloaded fewer
    than ``at_least`` times: nothing was measured then. In a process of its own: a thread would
    take the interpreter lock from the clients that measure, whose latency would then count as the
    server's.
    """
    forked = multiprocessing.get_context("fork")
    stop = forked.Event()

    def work(models: Sequence[Path], times: Path) -> None:
        # What is measured is the server that reloads, not who installs models on its machine. In
        # the clients' session, low priority would make them wait whenever this process wakes.
        os.setsid()
        os.nice(19)
        parent = os.getppid()
        turn = 0
        with times.open("w", buffering=1) as out:
            while every_s is not None:
                begin = time.time()
                server.install(models[turn % 2], place=os.link)
                out.write(f"{begin} {time.time()}\n")
                turn += 1
                if stop.wait(every_s) or os.getppid() != parent:
                    return
        stop.wait()

    installs: list[Span] = []
    reloads: list[Span] = []
    before = len(server.reload_spans())
    # Where a link to the live directory can lead.
    with tempfile.TemporaryDirectory(dir=server.folder, prefix="to-install-") as folder:
        models = [
            Path(shutil.copytree(likeness_server.models() / name, Path(folder, name)))
            for name in ("uci_2", "uci")
        ]
        times = Path(folder, "times")
        process = forked.Process(target=work, args=(models, times), daemon=True)
        process.start()
        try:
            yield installs, reloads
        finally:
            stop.set()
            process.join()
        if process.exitcode != 0:
            raise Failed(
                f"the process that installs models ended with exit code {process.exitcode}"
            )
        for line in times.read_text().splitlines():
            begin, end = line.split()
            installs.append(Span(float(begin), float(end)))
    if installs:
        # The next round is not to have its reload.
        waits.wait_for(
            lambda: any(
                span.begin >= installs[-1].begin for span in server.reload_spans()[before:]
            ),
            "the reload of the model that was installed last",
            10,
            log=server.log_file(),
        )
        time.sleep(DROPPED_S)
    reloads += server.reload_spans()[before:]
    if every_s is None and reloads:
        raise Failed(f"{len(reloads)} reloads, though nothing was installed")
    if len(reloads) < at_least:
        raise Failed(f"{len(reloads)} reloads, and at least {at_least} were to be measured under")


def away_from(spans: Sequence[Span], loaded: Loaded) -> list[float]:
    """Sorted latencies of the requests that none of the spans (sorted, apart) has a part of."""
    ends = [span.end for span in spans]
    found = []
    for sent, latency in zip(loaded.sent, loaded.latencies):
        # The first one that is not over when the request goes out.
        place = bisect_left(ends, sent)
        if place == len(spans) or sent + latency < spans[place].begin:
            found.append(latency)
    return sorted(found)


def p999_away(spans: Sequence[Span], loaded: Loaded) -> float:
    """In milliseconds. Raises ``Failed`` when there were no such requests."""
    away = away_from(joined(spans), loaded)
    if not away:
        raise Failed("every request met a reload; give it more --seconds")
    return percentile(away, 0.999)


def measure(
    rows: Sequence[Row],
    server: likeness_server.Launched,
    seconds: float,
    rounds: int,
    configuration: Path,
) -> list[Measured]:
    """The rows without and with reloads, in turns: every other round begins with the latter, so
    that a machine which becomes slower or faster favours neither.

    ``seconds`` are ``SHORTEST_S`` at least. Raises ``Failed`` when there were no reloads to
    measure under, or no request was answered.
    """
    seconds = max(seconds, SHORTEST_S)
    # One is installed every 1.3 s, is seen up to a tick of a second later, and takes its time.
    at_least = int(seconds / SHORTEST_S)
    found: list[Measured] = []
    for row in rows:
        quiet: list[Figures] = []
        busy: list[Figures] = []
        away: list[float] = []
        count = 0
        for number in range(rounds):
            for every_s in (None, EVERY_S) if number % 2 == 0 else (EVERY_S, None):
                least = 0 if every_s is None else at_least
                with reloading(server, every_s, least) as (installs, reloads):
                    loaded = load(row, server.port, seconds, configuration, BOTH)
                if every_s is None:
                    quiet.append(figures(loaded))
                    continue
                busy.append(figures(loaded))
                dropped = [Span(one.begin, one.end + DROPPED_S) for one in reloads]
                away.append(p999_away([*installs, *dropped], loaded))
                count += len(reloads)
            print(
                f"round {number + 1}: {row.name}: p99.9 {busy[-1].p999:.2f} ms, {away[-1]:.2f} of "
                f"those that met no reload, {quiet[-1].p999:.2f} without",
                file=sys.stderr,
            )
        found.append(Measured(row, quiet, busy, away, count))
    return found


def joined(spans: Sequence[Span]) -> list[Span]:
    """The same time in spans that are sorted and do not overlap."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(span.end, found[-1].end))
        else:
            found.append(span)
    return found
