"""What the user chose for a run, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Settings:
    """How one monitor is run.

    ``command``: its command line or a template of it. ``interval``: its polling interval in
    seconds. ``patience``: seconds a release may take from its donefile to the live directory
    beside polls. ``recovery``: the same after an outage, where a monitor may back off.
    ``silence``: seconds after which a monitor must give up a transfer that stands still.
    ``count``: releases of many-releases. ``every_kill_on``: remotes on which the suite kills the
    monitor at every system call, not only at a sample. ``knows``: options beside upstream's that
    the monitor has (``command.BESIDE``).
    ``controls``: how the suite asks the running monitor for something (``controls``).
    ``environment`` replaces the monitor's environment when given.
    """

    command: str
    interval: float = 1.0
    patience: float = 15.0
    recovery: float = 45.0
    silence: float = 90.0
    # Whether the scenarios take their short forms.
    short: bool = False
    # The seed of random choices.
    seed: int = 1
    count: int = 1000
    every_kill_on: frozenset[str] = frozenset({"http"})
    knows: frozenset[str] = frozenset()
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Optional[Mapping[str, str]] = None
