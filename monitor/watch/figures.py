"""Numbers of one watched model since its start, for ``/metrics`` and ``/healthz``.

Written by the model's thread, read by that of the endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass
class Figures:
    """The numbers of one model.

    ``last_poll`` and ``last_swap`` are in seconds since the epoch. ``last_life`` is in seconds of
    ``time.monotonic``: when a poll last reached the remote, or a piece of a release last came or
    was worked on. It is None before the first poll.
    """

    polls: int = 0
    pokes: int = 0
    swaps: int = 0
    failures_remote: int = 0
    failures_release: int = 0
    failures_machine: int = 0
    bytes_pulled: int = 0
    last_poll: float = 0.0
    last_swap: float = 0.0
    last_life: Optional[float] = None
    release: int = -1
    rollbacks: int = 0
    not_served: int = 0
    not_served_why: str = ""
    served_release: int = -1
    last_served: float = 0.0
    on_hold: int = 0
    pinned: int = -1
    untrusted: int = 0
    hooks_pending: int = 0
    hook_failures: int = 0
    hooks_lost: int = 0
    failures_in_a_row: int = 0
    quarantined: int = 0
    held_back: int = 0
    last_error: str = ""
