"""What the history has about the settings of a leg, without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from monitor.mask import STARS

from .leg_settings import LegSettings


def recorded(settings: LegSettings) -> dict[str, Any]:
    """Return the fields of the event ``settings`` that the settings of a leg give."""
    s = settings
    return {
        # A running server has a release from before.
        "releases": s.releases + s.server_runs,
        "paced": s.paced,
        "latency_bound_s": s.latency_bound_s,
        "latency_window_s": s.latency_window_s,
        "latency_rise_bound_s": s.latency_rise_bound_s,
        "poll_s": s.poll_s,
        "tick_s": s.tick_s,
        "bound_s": s.bound_s,
        "switch_window_s": s.switch_window_s,
        "rtol": s.rtol,
        "load_bound_s": s.load_bound_s,
        "memory_bound_bytes": s.memory_bound_bytes,
        "poll_bound_bytes": s.poll_bound_bytes,
        **({} if s.claims is None else {"claims": list(s.claims)}),
        **({"unseen": list(s.unseen)} if s.unseen else {}),
    }


def masked(argv: Sequence[str], secrets: Iterable[str]) -> list[str]:
    """Return a command line with stars in the place of each secret."""
    shown = list(argv)
    for secret in filter(None, secrets):
        shown = [word.replace(secret, STARS) for word in shown]
    return shown
