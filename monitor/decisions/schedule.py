"""Growing pauses with a cap and jitter, delays before a swap, and the time file's next second.

Values in, values out; the caller reads the clock.
"""

from __future__ import annotations

import hashlib
import random
from typing import Optional

CAP_INTERVALS = 10
CAP_SECONDS = 60.0


class Backoff:
    """Pauses of ``base``, 2 × ``base``, 4 × ``base`` … seconds, at most ``cap``.

    Each is shortened by a random part of up to half. A hundred monitors that lost the same remote
    at the same moment then come back at different moments.
    """

    def __init__(self, base: float, cap: float, seed: Optional[int] = None) -> None:
        self.base = base
        self.cap = max(base, cap)
        self.failures = 0
        self._random = random.Random(seed)

    def fail(self) -> float:
        """Count a failure, and return the pause after it, in seconds."""
        # The cap is reached long before 2^30. The bound keeps the float from overflowing.
        pause = min(self.cap, self.base * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return pause * (1.0 - 0.5 * self._random.random())

    def clear(self) -> None:
        """Let the next pause be the shortest again."""
        self.failures = 0


def default_cap(interval: float) -> float:
    """Return the longest pause if none is given: ten intervals, at most a minute."""
    return max(interval, min(CAP_INTERVALS * interval, CAP_SECONDS))


class Splay:
    """Delays before an installation, so that many servers do not swap at the same moment.

    The delay is the same for the same server and release. A release that is announced during the
    delay does not start another delay.
    """

    def __init__(self, longest: float, server: str) -> None:
        """``longest`` is the longest delay in seconds. ``server`` names the server."""
        self._longest = longest
        self._server = server
        self._until: Optional[float] = None

    def begin(self, release: str, now: float) -> None:
        """Start the delay of ``release``, unless a delay has begun. ``now`` is in seconds."""
        if self._until is None:
            digest = hashlib.sha256(f"{self._server}\0{release}".encode("utf-8", "surrogateescape"))
            share = int.from_bytes(digest.digest()[:8], "big") / 2**64
            self._until = now + self._longest * share

    def left(self, now: float) -> float:
        """Return the seconds that are left of the delay; 0 if none has begun."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def end(self) -> None:
        """Let the next release have a delay of its own."""
        self._until = None


def settle_left(settle: float, swapped: Optional[float], now: float) -> float:
    """Return the seconds until the next swap is allowed.

    Args:
        settle: Least seconds between two swaps.
        swapped: When the last swap was, in seconds since the epoch. The clock may have been set
            back.
        now: The present time, in seconds since the epoch.
    """
    if swapped is None:
        return 0.0
    left = settle - (now - swapped)
    # A swap "in the future" means that the clock was set back: waiting for it could take years.
    return left if 0.0 < left <= settle else 0.0


def next_second(now: float, last_used: Optional[int], current: Optional[int]) -> int:
    """Return the whole second for the next time file.

    The server compares whole seconds for inequality. So the second must differ from the last one
    that the monitor used, and from the present one: the launcher touches the file, too. It must not
    go back to one that the server may have seen, whatever the clock says.
    """
    after = [second + 1 for second in (last_used, current) if second is not None]
    return max([int(now), *after])
