"""How long IDLE lasts: the rows of the table say which kind of pause, this says how many seconds.

Comes in: the row that was taken, what was announced, the time of ``time.monotonic``. Goes out:
seconds. What failed keeps its pause only as long as it is announced.
"""

from __future__ import annotations

from typing import Optional

from ._machine import Event, Identity, Row, State, Wait
from ._schedule import Backoff


class Pauses:
    """Pauses of one model, of ``interval`` seconds, or growing ones of at most ``longest``."""

    def __init__(self, interval: float, longest: float) -> None:
        self.sleep = 0.0
        self._interval = interval
        self._backoff = Backoff(interval, longest)
        self._failed: Optional[Identity] = None
        self._retry_at = 0.0
        self._moves = Backoff(interval, longest)
        self.moved = False

    def announced(self, identity: Identity) -> None:
        """A look at the donefile: the pause of another release says nothing about this one."""
        if identity != self._failed:
            self._failed = None
            self._backoff.clear()

    def backing_off(self, now: float) -> bool:
        return self._failed is not None and now < self._retry_at

    def still(self) -> None:
        """The donefile does not move, or not in the way of a pull."""
        self.moved = False
        self._moves.clear()

    def after(self, row: Row, announced: Optional[Identity], now: float, settling: float) -> None:
        """Decides about the next IDLE; ``settling`` is what is left of --settle, in seconds."""
        if row.event is Event.MOVED:
            self.moved = True
        elif row.event is Event.MOVED_AGAIN:
            # Applies to every release: the donefile differs at every poll.
            self.sleep = self._moves.fail()
        elif row.wait is Wait.INTERVAL:
            self.sleep = self._interval
            if row.event in (Event.SWAPPED, Event.INSTALLED, Event.SAME):
                self._failed = None
                self._backoff.clear()
            elif row.event is Event.BACKING_OFF:
                self.sleep = min(self.sleep, max(0.01, self._retry_at - now))
            elif row.event is Event.SETTLING:
                self.sleep = min(self.sleep, max(0.01, settling))
        elif row.wait is Wait.BACKOFF:
            pause = self._backoff.fail()
            self.sleep = pause
            if row.state is not State.CHECK and announced is not None:
                self._failed = announced
                self._retry_at = now + pause
                # The donefile is still looked at: a newer release need not wait for this pause.
                self.sleep = min(pause, self._interval)


def shown(value: float) -> str:
    """10 for 10.0, 0.25 for 0.25, 7.31 for 7.3081."""
    return f"{value:.6g}" if value == round(value, 3) else f"{value:.2f}"
