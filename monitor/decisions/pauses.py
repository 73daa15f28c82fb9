"""Turns the waits of the state table into seconds.

Decides no transition. The caller reads the clock (``time.monotonic``).
"""

from __future__ import annotations

from typing import Optional

from .identity import Identity
from .machine import Event, Row, Wait
from .schedule import Backoff

# The shortest sleep until a known time, in seconds.
_SHORTEST_S = 0.01
# After these events the donefile is at rest, or its changes do not hinder a pull.
_AT_REST = frozenset(
    (
        Event.NO_DONEFILE, Event.INSTALLED, Event.HELD, Event.ON_HOLD, Event.NOT_PINNED,
        Event.QUARANTINED, Event.UNTRUSTED, Event.BACKING_OFF, Event.SETTLING, Event.PULLED,
        Event.SAME,
    )
)  # fmt: skip


class Pauses:
    """Pauses of one model, of ``interval`` seconds, or growing ones of at most ``longest``."""

    def __init__(self, interval: float, longest: float) -> None:
        # How long the next IDLE lasts, in seconds.
        self.sleep = 0.0
        # Whether the donefile changed during the previous pull.
        self.moved = False
        self._interval = interval
        self._backoff = Backoff(interval, longest)
        self._moves = Backoff(interval, longest)
        # The release that failed last, and when it is tried again.
        self._failed: Optional[Identity] = None
        self._retry_at = 0.0

    def announced(self, identity: Identity) -> None:
        """Forget the pause of any release other than ``identity``, which is now announced."""
        if identity != self._failed:
            self._forget()

    def backing_off(self, now: float) -> bool:
        """Return whether the pause of the announced release is not over."""
        return self._failed is not None and now < self._retry_at

    def after(self, row: Row, announced: Optional[Identity], now: float, settling: float) -> None:
        """Set ``sleep`` as the row's wait says.

        Args:
            row: The row that was taken.
            announced: The release that the donefile announces.
            now: The present time, in seconds.
            settling: Seconds that are left of ``--settle`` and ``--splay``.
        """
        if row.event in _AT_REST:
            self.moved = False
            self._moves.clear()
        elif row.event is Event.MOVED:
            self.moved = True
        if row.wait is Wait.INTERVAL:
            self.sleep = self._interval
        elif row.wait is Wait.INTERVAL_RESET:
            self._forget()
            self.sleep = self._interval
        elif row.wait is Wait.UNTIL_SETTLED:
            self.sleep = min(self._interval, max(_SHORTEST_S, settling))
        elif row.wait is Wait.UNTIL_RETRY:
            self.sleep = min(self._interval, max(_SHORTEST_S, self._retry_at - now))
        elif row.wait is Wait.BACKOFF:
            self.sleep = self._backoff.fail()
        elif row.wait is Wait.MOVES:
            # Applies to every release: the donefile differs at every poll.
            self.sleep = self._moves.fail()
        elif row.wait is Wait.RETRY:
            pause = self._backoff.fail()
            self._failed = announced
            self._retry_at = now + pause
            # The donefile is still polled: a newer release need not wait for this pause.
            self.sleep = min(pause, self._interval)

    def _forget(self) -> None:
        self._failed = None
        self._backoff.clear()


def shown(value: float) -> str:
    """Return seconds as a person writes them: 10 for 10.0, 0.25 for 0.25, 7.31 for 7.3081."""
    return f"{value:.6g}" if value == round(value, 3) else f"{value:.2f}"
