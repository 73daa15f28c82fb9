"""Whether a release that has just become live is bad, judged by its server (``--on_bad_release``).

Values in, values out; the caller reads the clock and asks the server. A release is on probation
only if the server served the release before it: else the server, and not the release, may be at
fault.
"""

from __future__ import annotations

from typing import Optional

from .serving import Heard, Kind, Phase

# Looks in a row that condemn a release: one failed request may have another cause.
_IN_ROW = 5


class Probation:
    """The probation of one release after another.

    Attributes:
        until: When the probation ends, in seconds since the epoch; None for no probation.
    """

    def __init__(self, seconds: float) -> None:
        """``seconds`` is ``--probation``."""
        self.until: Optional[float] = None
        self._seconds = seconds
        self._wrong = 0
        self._served = False

    def begin(self, swapped: float, *, was_served: bool) -> None:
        """Begin with a release.

        Args:
            swapped: When the release became live, in seconds since the epoch.
            was_served: Whether the server served the release before.
        """
        self.until = swapped + self._seconds if was_served else None
        self._wrong, self._served = 0, False

    def is_open(self, now: float) -> bool:
        """Return whether the probation lasts at ``now``, in seconds since the epoch."""
        return self.until is not None and now < self.until

    def hear(self, heard: Heard, phase: Phase, *, late_is_bad: bool = True) -> Optional[str]:
        """Take note of one look at the server.

        Args:
            heard: What it found.
            phase: What is known of the release after it.
            late_is_bad: Whether the limit of ``Phase.LATE`` is known to be long enough for a load.

        Returns:
            Why the release is bad; None if it is not known to be bad.
        """
        self._served = self._served or phase is Phase.SERVED
        if heard.kind is Kind.ENDED:
            return f"the server ended after the swap: {heard.text}"
        wrong = heard.kind in (Kind.FAILED, Kind.SILENT) or (
            heard.kind is Kind.OTHER and self._served
        )
        self._wrong = self._wrong + 1 if wrong else 0
        if self._wrong >= _IN_ROW:
            return heard.text
        late = phase is Phase.LATE and late_is_bad
        # The answers in a row that confirm a release may begin before the limit and end after it.
        return heard.text if late and heard.kind not in (Kind.OURS, Kind.RELOADED) else None
