"""Reloads while clients ask: no request may notice."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from harness.support import waits
from harness.support.live_directory import TIME_FILE

from .check_http import predicted
from .checks import PRICE, PRICE_2, Subject, holds
from .server import Launched
from .steady_clients import Period, SteadyClients, steps_back

RELOADS = 15
# AT_FDCWD (openat(2)): names count from the current folder.
_HERE = -100
# How long the workers may take to switch one after another, on a busy machine.
SWITCHING_S = 1.0
# How long clients keep asking after a reload, so that a worker that switches late is seen.
ASK_ON_S = SWITCHING_S + 0.5


def reload_in_turns(
    server: Launched, models: list[Path], reloads: int, *, clients: int = 4, ask_on_s: float = 0.0
) -> list[float]:
    """Install ``models`` (prices PRICE_2 and PRICE) in turns under clients.

    The clients keep asking for ``ask_on_s`` seconds after each reload.

    Returns the ``steps_back``. Raises ``Differs`` if a request fails or an answer is of neither
    model.
    """
    starts = []
    with SteadyClients(server, clients) as steady:
        for number in range(reloads):
            starts.append(time.monotonic())
            server.reload(models[number % 2])
            steady.ask_on(ask_on_s)
    holds(not steady.failures, f"{len(steady.failures)} clients failed: {steady.failures[:1]}")
    holds(steady.prices == {PRICE, PRICE_2}, f"answers: {steady.prices}")
    ends = [*starts[1:], float("inf")]
    prices = [(PRICE_2, PRICE)[number % 2] for number in range(reloads)]
    return steps_back(steady.asked, map(Period, starts, ends, prices))


def turns(subject: Subject) -> list[Path]:
    """Return the two models that a server loads in turns."""
    return [subject.models / "uci_2", subject.models / "uci"]


def reloads_under_clients(subject: Subject) -> None:
    """15 reloads under 4 clients: no error."""
    with subject.launch() as server:
        reload_in_turns(server, turns(subject), RELOADS)


def one_step(subject: Subject) -> bool:
    """The workers switch one after another: clients may see new, old, new for milliseconds."""
    back = reload_in_turns(subject.server, turns(subject), 4, ask_on_s=ASK_ON_S)
    holds(not back or max(back) < SWITCHING_S, f"an old answer {max(back, default=0):.3f} s later")
    return not back


@contextlib.contextmanager
def _many_releases(
    subject: Subject, put: Callable[[Launched, Path, int], None]
) -> Iterator[tuple[Launched, SteadyClients, float]]:
    """Return a server after releases every 40 ms, the clients' history, and the last price.

    ``put`` has installed the releases under three clients, each release with a second of its own.
    """
    with subject.launch() as server:
        second = int(time.time()) + 10
        until = time.monotonic() + 4
        latest = until + 30
        number = 0
        with SteadyClients(server, 3) as steady:
            # Long enough for several reloads, and longer on a machine that has other things to do.
            while server.process.running and time.monotonic() < (
                until if server.reloads() >= 2 else latest
            ):
                put(server, turns(subject)[number % 2], second + number)
                number += 1
                # The check is about this pace.
                time.sleep(0.04)
        yield server, steady, (PRICE, PRICE_2)[number % 2]


def _whole_releases_only(server: Launched, steady: SteadyClients, last: float) -> None:
    holds(not steady.failures, f"{len(steady.failures)} errors: {steady.failures[:1]}")
    holds(steady.prices <= {PRICE, PRICE_2}, f"answers: {steady.prices}")
    holds(server.reloads() >= 2, f"{server.reloads()} reloads")
    waits.wait_for(lambda: predicted(server) == last, "the last release to serve", 20)


def _exchange(server: Launched, release: Path, second: int) -> None:
    beside = server.folder / "beside"
    shutil.copytree(release, beside)
    (beside / TIME_FILE).touch()
    os.utime(beside / TIME_FILE, (second, second))
    names = os.fsencode(beside), os.fsencode(server.live)
    # renameat2(2) with RENAME_EXCHANGE: both names trade places in one step.
    if ctypes.CDLL(None, use_errno=True).renameat2(_HERE, names[0], _HERE, names[1], 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2 with RENAME_EXCHANGE failed")
    shutil.rmtree(beside)


def exchanged_directories(subject: Subject) -> None:
    """Directories exchanged every 40 ms under clients: no error, only whole releases' answers."""
    with _many_releases(subject, _exchange) as (server, steady, last):
        server.process.check()
        _whole_releases_only(server, steady, last)


def _copy_over(server: Launched, release: Path, second: int) -> None:
    files = [file for file in release.iterdir() if file.name != TIME_FILE]
    subprocess.run(["cp", "-r", *files, server.live], check=True)
    os.utime(server.live / TIME_FILE, (second, second))


def copied_releases(subject: Subject) -> bool:
    """Releases copied in with `cp -r` every 40 ms under clients: the server dies."""
    with _many_releases(subject, _copy_over) as (server, steady, last):
        if not server.process.running:
            return False
        _whole_releases_only(server, steady, last)
        return True
