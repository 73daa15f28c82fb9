"""A server loads when the time file's mtime, in whole seconds, is not the last one it saw."""

from __future__ import annotations

import os
from collections.abc import Callable

from harness.conformance.serving.check_http import predicted
from harness.conformance.serving.check_reload_load import exchanged_directories
from harness.conformance.serving.checks import PRICE, PRICE_2, Subject, same
from harness.support.live_directory import TIME_FILE

from .asking import asked_for, wait_served


def _loads_at(subject: Subject, second_after: Callable[[int], int]) -> None:
    with subject.launch() as server:
        same(predicted(server), PRICE, "the first model's answer")
        tag = server.live / TIME_FILE
        # The launcher also sets the second, so a second from before the start may be the same.
        second = second_after(int(tag.stat().st_mtime))
        server.install(subject.models / "uci_2")
        os.utime(tag, (second, second))
        wait_served(server, PRICE_2, f"the release whose time file has the second {second:.0f}")


def newer_second(subject: Subject) -> None:
    """A newer whole second in the time file loads the release."""
    _loads_at(subject, lambda last: last + 2)


def older_second(subject: Subject) -> None:
    """An older second loads the release too: the server compares for inequality."""
    _loads_at(subject, lambda _: 1_000_000_000)


def future_second(subject: Subject) -> None:
    """A second in the future loads the release."""
    _loads_at(subject, lambda last: last + 86_400)


def last_of_a_burst(subject: Subject) -> None:
    """After releases every 40 ms, also during loads, the last release serves."""
    exchanged_directories(subject)


def no_change_no_load(subject: Subject) -> None:
    """As long as the time file stays, nothing is loaded."""
    with subject.launch() as server:
        asked_for(server, 3.5, {PRICE})
        same(server.reloads(), 0, "loads without a change")
