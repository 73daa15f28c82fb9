"""Runs of the good parts: each claim that a judge finds broken is a false alarm.

A pair is a good part and its judge. A run judges one pair by the short form's cases, or by the
scenario ``page``. Each run has a seed of its own, so that samples and noise differ. The stock
monitor gets the cases that its file expects to pass, and all claims but the claim that it breaks.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

from harness.checker.claims import CLAIMS

from . import judges
from .judges import CONFORMANCE, SERVING, Found
from .parts import Part, parts

_STOCK = "paddle_serving_server.monitor"
# The stock monitor copies file by file. Whether an observer sees this is chance.
_STOCK_BREAKS = {"live directory is whole"}


@dataclass(frozen=True)
class Pair:
    """A good part and its judge. ``run`` judges the pair once, in a folder and with a seed."""

    # The name in the table.
    name: str
    judge: str
    run: Callable[[Path, int], Found]


@dataclass(frozen=True)
class Runs:
    """What all runs of a pair found."""

    # The pair.
    pair: Pair
    # The number of each run, which is its seed.
    numbers: Sequence[int]
    # What the judge found in each run.
    found: Sequence[Found]

    @property
    def false_alarms(self) -> list[str]:
        """Return a line for each claim or case that a run found broken."""
        return self._lines("broken")

    @property
    def unknown(self) -> list[str]:
        """Return a line for each claim or case without an answer."""
        return self._lines("unknown")

    @property
    def median_s(self) -> float:
        return statistics.median(one.seconds for one in self.found)

    def _lines(self, field: str) -> list[str]:
        return [
            f"{self.pair.name} by {self.pair.judge}, run {number}: {name}: {'; '.join(reasons)}"
            for number, one in zip(self.numbers, self.found)
            for name, reasons in getattr(one, field).items()
        ]


def good(kind: str, judge: str) -> Part:
    """Return the good part of a kind."""
    return Part(kind, f"good-{kind}-{judge}", f"nothing: the good {kind}", judge)


def _first_cases(kind: str, judge: str) -> list[str]:
    return list(dict.fromkeys(one.breaks[0].name for one in parts(kind) if one.judge == judge))


def pairs() -> list[Pair]:
    """Return all pairs."""
    cases = _first_cases("monitor", CONFORMANCE)
    promises = _first_cases("server", SERVING)
    stock_cases = [case for case in cases if judges.should_pass("stock", case)]
    # The stock monitor takes only whole seconds.
    stock = ["--poll", "1", "--monitor-cmd", f"{sys.executable} -m {_STOCK}"]
    # A statistical claim needs more samples, and a claim that is named must be known.
    judged = [name for name, rule in CLAIMS.items() if not rule.statistical]
    stock += ["--claims", ",".join(name for name in judged if name not in _STOCK_BREAKS)]

    def server(judge: str, only: Sequence[str] = (), options: Sequence[str] = ()) -> Pair:
        name = "stock monitor, good server" if options else "good monitor and server"
        part = good("server", judge)
        return Pair(
            "good server" if only else name,
            judge,
            lambda folder, seed: judges.server(part, judge, only, folder, options),
        )

    def monitor(name: str, file: str, only: Sequence[str]) -> Pair:
        return Pair(
            name,
            CONFORMANCE,
            lambda folder, seed: judges.known_monitor(file, only, folder, seed=seed),
        )

    return [
        monitor("good monitor", "ours", cases),
        monitor("stock monitor", "stock", stock_cases),
        server(SERVING, promises),
        server("page"),
        server("page", options=stock),
    ]


def run_all(
    numbers: Sequence[int], folder: Path, *, jobs: int, say: Callable[[str], None]
) -> list[Runs]:
    """Judge each pair once for each number, except for runs that the folder has already.

    Args:
        numbers: The numbers of the runs; each is the seed of its run.
        folder: Keeps a file for each run, and all files of a run that did not pass.
        jobs: How many runs at a time.
        say: Called with a line for each run.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def once(pair: Pair, number: int) -> Found:
        name = f"{pair.name.replace(' ', '-').replace(',', '')}-{pair.judge}-{number:03}"
        kept, place = folder / f"{name}.json", folder / name
        if kept.exists():
            return Found(**json.loads(kept.read_text()))
        # A run that was interrupted begins again.
        shutil.rmtree(place, ignore_errors=True)
        found = pair.run(place, number)
        if not found.broken and not found.unknown:
            shutil.rmtree(place)
        kept.write_text(json.dumps(asdict(found), indent=1))
        said = "; ".join(found.broken) or f"{len(found.unknown)} unknown"
        said = said if found.broken or found.unknown else "passed"
        say(f"{pair.name} by {pair.judge}, run {number}: {said}, {found.seconds:.0f} s")
        return found

    every = pairs()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [[pool.submit(once, pair, number) for pair in every] for number in numbers]
    return [
        Runs(pair, numbers, [row[position].result() for row in futures])
        for position, pair in enumerate(every)
    ]
