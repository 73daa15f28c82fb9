"""Numbers of one watched model since its start, for ``/metrics`` and ``/healthz``.

Several threads write them: the model's jobs, its hooks and the endpoint. The endpoint reads them.
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

    # How many polls there were.
    polls: int = 0
    # How many of them a poke caused.
    pokes: int = 0
    # Requests to poll that were refused, for all models of the process.
    pokes_refused: int = 0
    # Swaps to a new release.
    swaps: int = 0
    # Failures of the remote.
    failures_remote: int = 0
    # Bad releases.
    failures_release: int = 0
    # Failures of this machine.
    failures_machine: int = 0
    # Bytes of releases that came.
    bytes_pulled: int = 0
    last_poll: float = 0.0
    last_swap: float = 0.0
    last_life: Optional[float] = None
    # The installed release's number; -1 if it has none.
    release: int = -1
    # Rollbacks by ``--on_bad_release``.
    rollbacks: int = 0
    # 1 if the server does not serve the installed release in time.
    not_served: int = 0
    # Why it does not.
    not_served_why: str = ""
    # The served release's number; -1 if none is confirmed.
    served_release: int = -1
    # When the installed release was confirmed.
    last_served: float = 0.0
    # 1 while ``hold`` is in force.
    on_hold: int = 0
    # The pinned release's number; -1 for none.
    pinned: int = -1
    # 1 while ``--verify_signature`` refuses the donefile.
    untrusted: int = 0
    # Notices that wait.
    hooks_pending: int = 0
    # Tries of hooks that failed.
    hook_failures: int = 0
    # Notices that were lost.
    hooks_lost: int = 0
    # Failures since the last poll that found nothing to install, or the last swap.
    failures_in_a_row: int = 0
    # 1 while the announced release is in quarantine.
    quarantined: int = 0
    # 1 while a rollback holds the announced release back.
    held_back: int = 0
    # The last failure, as one sentence.
    last_error: str = ""
