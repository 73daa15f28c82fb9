"""Numbers of one watched model since its start, for ``/metrics`` and ``/healthz``.

Written by the model's thread, read by that of the endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass
class Figures:
    """``last_poll`` and ``last_swap`` are in seconds since the epoch. ``last_life``, in those of
    ``time.monotonic``, is when a look at the donefile last reached the remote, a piece of a
    release last came, or was worked on; None before the first look."""

    polls: int = 0
    swaps: int = 0
    failures_remote: int = 0
    failures_release: int = 0
    failures_machine: int = 0
    bytes_pulled: int = 0
    last_poll: float = 0.0
    last_swap: float = 0.0
    last_life: Optional[float] = None
    release: int = -1
    last_error: str = ""
