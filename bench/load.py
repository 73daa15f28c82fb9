"""How much load a run can send: the highest rate at which its latency is judged, and the cost.

    python -m bench.load                           at 200, 400, … requests a second, 1 run each
    python -m bench.load --rates 200 --runs 10     how often the claim is known at one rate

One table, a row for each run of `python -m harness e2e --remotes ftp --serving embedded`. The bench
ends after the first rate at which the claim *latency at a swap* is unknown in a run. The lag and
the rise are those of docs/history.md. The CPU time is that of the clients since their first
request. As root the clients have a real-time priority; run the bench as the user that matters.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

from rich.console import Console
from rich.table import Table

from harness.checker import latency
from harness.checker.history import read
from harness.checker.leg_history import LegHistory
from harness.checker.outcome import Outcome
from harness.checker.run_history import sort
from harness.checker.verdict import judge

_REMOTE = "ftp"


class Row(NamedTuple):
    """What one run showed. Times are seconds."""

    verdict: str
    claim: Outcome
    why: str
    high: float
    lag: float
    requests: int
    cpu: float
    # How long the clients asked.
    seconds: float

    def figures(self, rate: int) -> tuple[str, ...]:
        """Return the cells of the table."""
        return (
            *(f"{rate}", self.verdict, self.claim.value, f"{self.high * 1e3:.2f}"),
            *(f"{self.lag * 1e3:.2f}", f"{self.requests:,}", f"{self.cpu / self.seconds:.0%}"),
            *(f"{self.cpu / self.requests * 1e3:.2f}", f"{os.getloadavg()[0]:.1f}"),
        )


def measured(history: Path) -> Row:
    """Return the figures of a run. Raises ``KeyError`` if the run ended before its load."""
    verdict = judge(read(history))
    (claim,) = (one for one in verdict.claims if one.name == latency.NAME)
    leg = sort(read(history)).legs[_REMOTE]
    found = latency.samples(leg)
    return Row(
        verdict=verdict.outcome.value,
        claim=claim.outcome,
        why=claim.why,
        high=latency.rise(found).high,
        lag=latency.quantile(latency.lags(found), 0.99),
        requests=len(leg.predictions),
        cpu=sum(event["lag"]["cpu_s"] for event in leg.ended_clients),
        seconds=_asked_s(leg),
    )


def _asked_s(leg: LegHistory) -> float:
    return max(leg.asked_until.values()) - min(leg.asked_since.values())


def run(rate: int) -> Row:
    """Run the main job at a rate. Raises ``RuntimeError`` if the run ends without a load."""
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "harness", "e2e", "--runs", runs, "--rate", str(rate)]
        command += ["--remotes", _REMOTE, "--serving", "embedded"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            return measured(Path(runs, "latest", "history.jsonl"))
        except (KeyError, ValueError) as error:
            raise RuntimeError(done.stdout[-800:] + done.stderr[-800:]) from error


def rows(rates: list[int], runs: int) -> Iterator[tuple[int, Row]]:
    """Yield each run, up to the first rate at which the claim is unknown in a run."""
    for rate in rates:
        known = True
        for _ in range(runs):
            row = run(rate)
            yield rate, row
            known = known and row.claim is not Outcome.UNKNOWN
        if not known:
            return


def highest(found: list[tuple[int, Row]]) -> Optional[int]:
    """Return the highest rate at which the claim is known in each run; None if there is none."""
    unknown = {rate for rate, row in found if row.claim is Outcome.UNKNOWN}
    return max((rate for rate, _ in found if rate not in unknown), default=None)


def main() -> int:
    """Print the table. Exit code 1 if a run ends without a load."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = "200,400,600,800,1000,1200,1600,2000"
    parser.add_argument("--rates", default=default, help=f"requests a second ({default})")
    parser.add_argument("--runs", type=int, default=1, help="runs at each rate (1)")
    args = parser.parse_args()
    table = Table(
        *("requests/s", "verdict", "latency at a swap", "rise, upper limit, ms"),
        *("lag at p99, ms", "requests", "CPU of the clients, of a core"),
        *("CPU a request, ms", "load average"),
    )
    found: list[tuple[int, Row]] = []
    try:
        for rate, row in rows([int(rate) for rate in args.rates.split(",")], args.runs):
            found.append((rate, row))
            table.add_row(*row.figures(rate))
            print(f"{rate}: {row.claim.value}: {row.why}", file=sys.stderr)
    except RuntimeError as error:
        print(f"bench.load: the run sent no load: {error}", file=sys.stderr)
        return 1
    Console(width=130).print(table)
    best = highest(found)
    known = [row for _, row in found if row.claim is not Outcome.UNKNOWN]
    print(f"known in {len(known)} of {len(found)} runs; highest rate known in each run: {best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
