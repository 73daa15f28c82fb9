"""Releases that cannot be served, and a live directory that is missing for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from harness.conformance.serving.check_reload import corrupt, garbage, no_params, no_program
from harness.conformance.serving.checks import PRICE, PRICE_2, Subject
from harness.support.live_directory import TIME_FILE

from .asking import asked_for, wait_served

# Longer than two ticks.
_TICKS_S = 2.5


def _truncated(live: Path) -> None:
    params = live / "params.pdiparams"
    # Half of the last number: Paddle Inference itself refuses a file that is cut further back.
    params.write_bytes(params.read_bytes()[:-2])


# What is wrong with the release: what makes a good one so.
SPOILS: dict[str, Callable[[Path], None]] = {
    "corrupt parameters": corrupt,
    "truncated parameters": _truncated,
    "no parameters": no_params,
    "a corrupt graph": garbage,
    "no graph": no_program,
}


def serves_on(subject: Subject, damage: str) -> None:
    """After a release with {damage} the old model serves on, and the next good release loads."""
    with subject.launch() as server:
        server.install(subject.models / "uci_2")
        wait_served(server, PRICE_2, "the first good release")
        SPOILS[damage](server.live)
        server.touch()
        asked_for(server, _TICKS_S, {PRICE_2})
        server.install(subject.models / "uci")
        wait_served(server, PRICE, "the next good release")


def folder_gone(subject: Subject) -> None:
    """Without a live directory the old model serves; a release put there later loads."""
    with subject.launch() as server:
        away = server.live.with_name("away")
        server.live.rename(away)
        asked_for(server, _TICKS_S, {PRICE})
        away.rename(server.live)
        server.install(subject.models / "uci_2")
        wait_served(server, PRICE_2, "the release after the directory is back")


def time_file_gone(subject: Subject) -> None:
    """Without a time file the old model serves; with a new time file the release loads."""
    with subject.launch() as server:
        tag = server.live / TIME_FILE
        away = server.live.with_name("away")
        tag.rename(away)
        asked_for(server, _TICKS_S, {PRICE})
        away.rename(tag)
        server.install(subject.models / "uci_2")
        wait_served(server, PRICE_2, "the release after the time file is back")
