"""Whether the server serves the installed release: answers in, a phase and its reason out.

Values in, values out; the caller reads the clock (``time.monotonic``) and asks the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional

# The reload interval of a server that was given none, in seconds.
DEFAULT_TICK_S = 10.0
_TICKS = 3


class Phase(Enum):
    """What is known of the installed release."""

    UNKNOWN = "not known"
    WAITING = "not confirmed yet"
    SERVED = "served"
    LATE = "not served"


class Kind(Enum):
    """What one look at the server found."""

    OURS = "the server answered as the installed release"
    OTHER = "the server answered as another release"
    FAILED = "the server answered with an error"
    SILENT = "no server answered"
    ENDED = "the server ended, or was started again"
    RELOADED = "the log says that the server loaded the installed release"
    NOT_RELOADED = "the log has no reload since the swap"


@dataclass(frozen=True)
class Heard:
    """The result of one look at the server; ``text`` is a sentence for people."""

    # What was found.
    kind: Kind
    text: str


class Confirmation:
    """The wait until the server serves the installed release. ``begin`` starts it for each release.

    Attributes:
        phase: What is known of the installed release.
        why: The sentence for the phase, empty if there is none.
        load_s: The longest time from a tick to the first answers that was seen, in seconds; None
            if no load was seen.
    """

    def __init__(self, needed: int) -> None:
        """``needed`` is how many answers in a row confirm a release."""
        self.phase = Phase.UNKNOWN
        self.why = ""
        self.load_s: Optional[float] = None
        self._needed = needed
        self._in_row = 0
        self._since = 0.0

    def begin(self, now: float, *, blind: Optional[str] = None) -> None:
        """Wait for a release that has just become live.

        Args:
            now: The present time, in seconds.
            blind: Why nothing can confirm the release; None if something can.
        """
        self._in_row, self._since = 0, now
        self.phase = Phase.WAITING if blind is None else Phase.UNKNOWN
        self.why = blind or ""

    def served_before(self) -> None:
        """Take the release for served, because an earlier run confirmed it."""
        self.phase, self.why = Phase.SERVED, ""

    def hear(self, heard: Heard, now: float) -> Optional[float]:
        """Take note of one look at the server.

        Args:
            heard: What it found.
            now: The present time, in seconds.

        Returns:
            Seconds since ``begin`` if this look confirms the release, else None.
        """
        if self.phase not in (Phase.WAITING, Phase.LATE):
            return None
        self._in_row = self._in_row + 1 if heard.kind is Kind.OURS else 0
        self.why = heard.text
        if heard.kind is not Kind.RELOADED and self._in_row < self._needed:
            return None
        self.phase, self.why = Phase.SERVED, ""
        return now - self._since

    def loaded(self, seconds: float) -> None:
        """Take note of how long a load took."""
        self.load_s = max(self.load_s or 0.0, seconds)

    def is_late(self, now: float, limit: float) -> bool:
        """Return whether the release has just become late: ``limit`` seconds have passed."""
        if self.phase is not Phase.WAITING or now - self._since <= limit:
            return False
        self.phase = Phase.LATE
        return True


def served_within(
    given: float, tick: float, interval: Optional[float], load_s: Optional[float]
) -> float:
    """Return the seconds after a swap until a release that is not served is late.

    Args:
        given: ``--served_within``; 0 for none.
        tick: ``--tick``; 0 for none.
        interval: The reload interval that the server's log names; None if it names none.
        load_s: How long a load took, in seconds; None if no load was seen.
    """
    return given or _TICKS * (tick or interval or DEFAULT_TICK_S) + (load_s or 0.0)
