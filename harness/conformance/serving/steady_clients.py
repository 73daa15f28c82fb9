"""Clients that ask for one prediction again and again, and remember when they got which price."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import NamedTuple, Optional

from .check_http import predicted
from .checks import Differs
from .server import Launched


class Asked(NamedTuple):
    """One request: when it was sent and answered (monotonic seconds), and the price."""

    sent: float
    answered: float
    price: float


class Period(NamedTuple):
    """The time from just before a release's installation to just before the next one's.

    ``price`` is the release's prediction.
    """

    start: float
    end: float
    price: float


class SteadyClients:
    """``count`` threads that ask inside the ``with``.

    ``asked`` and ``failures`` are complete after it.
    """

    def __init__(self, server: Launched, count: int) -> None:
        self.asked: list[Asked] = []
        self.failures: list[str] = []
        self._server = server
        # What went wrong in this process, and not in the server.
        self._error: Optional[Exception] = None
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            sent = time.monotonic()
            try:
                price = predicted(self._server)
            except Differs as error:
                self.failures.append(str(error))
                # One failure is enough, and a server that has ended would give thousands.
                return
            except Exception as error:
                self._error = error
                return
            self.asked.append(Asked(sent, time.monotonic(), price))

    def ask_on(self, seconds: float) -> None:
        """Let the clients keep asking for ``seconds`` more."""
        time.sleep(seconds)

    @property
    def prices(self) -> set[float]:
        return {one.price for one in self.asked}

    def __enter__(self) -> SteadyClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error


def steps_back(asked: Iterable[Asked], periods: Iterable[Period]) -> list[float]:
    """Find the requests that got an older release after any client had got the newer one.

    Returns for each such request how many seconds after the first new answer it was sent.
    """
    asked = list(asked)
    found = []
    for period in periods:
        during = [one for one in asked if period.start <= one.sent < period.end]
        news = [one.answered for one in during if one.price == period.price]
        if news:
            first = min(news)
            found += [
                one.sent - first for one in during if one.sent > first and one.price != period.price
            ]
    return found
