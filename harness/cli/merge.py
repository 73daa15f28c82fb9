"""``python -m harness merge``: puts the histories of several machines on one clock."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, TextIO

from rich.console import Console

from harness.checker.clock import Clock, Exchange, estimate, exchange_in
from harness.checker.history import read
from harness.support.errors import BadInput

from .check import history_in, whole_events


@dataclass
class _Found:
    """What the first pass through a history finds."""

    # The history.
    file: Path
    # Whether it is the history of a run, not of a worker.
    is_of_a_run: bool = False
    # The workers that wrote to it.
    workers: set[str] = field(default_factory=set)
    # Remote and name of each client.
    clients: set[tuple[str, str]] = field(default_factory=set)
    # The questions to the master's clock.
    exchanges: list[Exchange] = field(default_factory=list)
    # The time of the first event.
    begin: float = math.inf
    # The time of the last event.
    end: float = -math.inf


def merge(paths: Sequence[Path], output: Path, console: Console) -> int:
    """Write the events of all histories into one; print each worker's offset, drift and error.

    The history with an event ``run`` is on the master's clock. Each other history is a worker's
    and has clock records.

    Returns:
        The exit code 0.

    Raises:
        BadInput: A history has no clock records, does not belong to the run, or has an event that
            cannot be read.
    """
    found = []
    for path in paths:
        history = history_in(path)
        with whole_events(history):
            found.append(_look(history))
    _require_one_run(found)
    clocks = [None if one.is_of_a_run else _clock(one) for one in found]
    try:
        with output.open("x") as file:
            for one, clock in zip(found, clocks):
                with whole_events(one.file):
                    _write(file, one, clock, console)
    except BadInput:
        output.unlink()
        raise
    except FileExistsError as error:
        raise BadInput(f"{output} is already there; name another --output") from error
    except OSError as error:
        raise BadInput(f"cannot write {output}: {error.strerror}; name another --output") from error
    return 0


def _look(file: Path) -> _Found:
    found = _Found(file)
    for event in read(file):
        kind = event["event"]
        found.is_of_a_run = found.is_of_a_run or kind == "run"
        if kind == "clock":
            found.workers.add(event["worker"])
            found.exchanges.append(exchange_in(event))
        elif kind == "prediction":
            found.clients.add((event["remote"], event["client"]))
            found.begin = min(found.begin, event.get("planned", event["sent"]), event["sent"])
        if "t" in event:
            found.begin = min(found.begin, event["t"])
            found.end = max(found.end, event["t"])
    return found


def _require_one_run(found: Sequence[_Found]) -> None:
    """Raise ``BadInput`` if several histories are of a run, or have a client in common."""
    runs = [str(one.file) for one in found if one.is_of_a_run]
    if len(runs) > 1:
        raise BadInput(
            f"{' and '.join(runs)} are histories of two runs, and each run has a verdict of its "
            "own; name one run and the workers that asked its server"
        )
    owners: dict[tuple[str, str], Path] = {}
    for one in found:
        for remote, client in sorted(one.clients):
            other = owners.setdefault((remote, client), one.file)
            if other != one.file:
                raise BadInput(
                    f"{other} and {one.file} both have a client {client} of {remote}, and the "
                    "verdict could not tell them apart; give each worker clients of its own"
                )


def _clock(found: _Found) -> Clock:
    if not found.exchanges:
        raise BadInput(
            f"{found.file} has no clock records, so nothing says how its clock differs from the "
            "master's; name the history of a run, or of a worker that asked the master's clock"
        )
    if len(found.workers) > 1:
        raise BadInput(
            f"{found.file} has the clock records of {len(found.workers)} workers; name the "
            "history of each worker"
        )
    try:
        return estimate(found.exchanges, found.begin, found.end)
    except BadInput as error:
        raise BadInput(f"{found.file}: {error}") from error


def _write(file: TextIO, found: _Found, clock: Optional[Clock], console: Console) -> None:
    if clock is None:
        said = "the master's clock"
    else:
        (worker,) = found.workers
        fields = {"offset_s": clock.offset_s, "drift": clock.drift, "error_s": clock.error_s}
        event = {"event": "merged", "t": clock.on_master(clock.since), "worker": worker, **fields}
        print(json.dumps(event), file=file)
        said = (
            f"{worker}: offset {clock.offset_s:+.6f} s, drift {clock.drift * 1e6:+.1f} ppm, "
            f"error at most {clock.error_s * 1e3:.3f} ms ({len(found.exchanges)} clock records)"
        )
    for event in read(found.file):
        moves = clock if event["event"] != "damaged" else None
        print(json.dumps(moves.shifted(event) if moves else event), file=file)
    console.print(f"{found.file}: {said}", markup=False, highlight=False, soft_wrap=True)
