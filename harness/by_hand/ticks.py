"""The turns of the server's reload loop, as the server's own log tells them."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from harness.run.observe import Tail

# How many ticks are kept.
KEPT = 30


class Ticks:
    """Follows ``serving.INFO``.

    Attributes:
        recent: The last ticks: whether the server loaded a model.
        seen: When the last tick was seen.
    """

    def __init__(self, log: Path) -> None:
        self.recent: deque[bool] = deque(maxlen=KEPT)
        self.seen = 0.0
        self._lines = Tail(log)

    def update(self, now: float) -> None:
        """Take in what was added to the log until ``now``."""
        for line in self._lines.new_lines():
            if "Begin reload framework" in line:
                self.recent.append(False)
                self.seen = now
            elif "begin reload model[" in line and self.recent:
                self.recent[-1] = True
