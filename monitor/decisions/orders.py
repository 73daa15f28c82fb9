"""What an operator ordered for a live directory: to hold all releases back, or to pin one.

Values in, values out; the caller reads the clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Optional

from .identity import Identity
from .machine import Event


@dataclass(frozen=True)
class OnHold:
    """No release is installed until a moment, or until ``resume``.

    ``since`` and ``until`` are in seconds since the epoch. ``until`` is None for no end. ``why`` is
    the operator's text.
    """

    since: float
    until: Optional[float]
    why: str

    def in_force(self, now: float) -> bool:
        """Return whether the hold still applies at ``now``, in seconds since the epoch."""
        return self.until is None or now < self.until

    def __str__(self) -> str:
        end = "until `resume`" if self.until is None else f"until {moment(self.until)}"
        return end + (f", because: {self.why}" if self.why else "")


@dataclass(frozen=True)
class Pin:
    """No release but the one with this number is installed until ``unpin``.

    ``since`` is in seconds since the epoch. ``why`` is the operator's text.
    """

    release: int
    since: float
    why: str

    def __str__(self) -> str:
        return f"release {self.release}" + (f", because: {self.why}" if self.why else "")


@dataclass(frozen=True)
class Orders:
    """What holds now. Both may hold at the same time."""

    # ``hold`` lets no release in.
    hold: Optional[OnHold] = None
    # ``pin`` lets in only one release.
    pin: Optional[Pin] = None

    def forbids(self, identity: Optional[Identity], now: float) -> Optional[Event]:
        """Return why ``identity`` may not be installed now; None if it may.

        Args:
            identity: The announced release.
            now: The present time, in seconds since the epoch.
        """
        if self.hold is not None and self.hold.in_force(now):
            return Event.ON_HOLD
        if self.pin is not None and (identity is None or identity.release != self.pin.release):
            return Event.NOT_PINNED
        return None

    def in_force(self, now: float) -> Orders:
        """Return the orders without a hold that is over."""
        if self.hold is not None and not self.hold.in_force(now):
            return replace(self, hold=None)
        return self

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        hold, pin = self.hold, self.pin
        return {
            "hold": hold and {"since": hold.since, "until": hold.until, "why": hold.why},
            "pin": pin and {"release": pin.release, "since": pin.since, "why": pin.why},
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> Orders:
        """Return the orders in a JSON object. What cannot be read holds nothing back."""
        hold, pin = content.get("hold"), content.get("pin")
        on_hold, pinned = None, None
        if isinstance(hold, dict):
            until = _seconds(hold.get("until"))
            on_hold = OnHold(_seconds(hold.get("since")) or 0.0, until, str(hold.get("why", "")))
        if isinstance(pin, dict) and isinstance(pin.get("release"), int):
            since = _seconds(pin.get("since")) or 0.0
            pinned = Pin(pin["release"], since, str(pin.get("why", "")))
        return Orders(on_hold, pinned)


def moment(seconds: float) -> str:
    """Return a time of the epoch as a person reads it, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _seconds(value: object) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) else None
