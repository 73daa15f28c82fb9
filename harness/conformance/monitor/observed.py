"""What was observed while a scenario ran: the only thing that the judge gets to see.

Times are seconds of the monotonic clock. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from harness.support.live_directory import Content


@dataclass(frozen=True)
class Look:
    """A change of the live directory as seen from outside; ``content`` None: it was not there."""

    at: float
    content: Optional[Content]


@dataclass(frozen=True)
class Known:
    """A release that was published: its label, files (path → sha256), and whether it is good."""

    label: str
    files: Mapping[str, str]
    good: bool = True


@dataclass(frozen=True)
class Publication:
    """At ``at`` the donefile (``announced``) or only the tarball of ``label`` was in place."""

    at: float
    label: str
    announced: bool


@dataclass(frozen=True)
class MonitorRun:
    """One run of the monitor. ``ended_itself``: it ended before the suite ended it."""

    started: float
    ended: Optional[float]
    code: Optional[int]
    ended_itself: bool
    log: str
    stop_s: Optional[float] = None
    argv: tuple[str, ...] = ()


# The interposer's exit code when it has killed.
KILLED = 137


@dataclass(frozen=True)
class Kill:
    """One kill at one system call: what was live before, right after, and after a restart.

    ``code``: the interposer's exit code, ``KILLED`` when the kill came; None: it was still running.
    """

    point: str
    code: Optional[int]
    before: Optional[Content]
    after_kill: Optional[Content]
    after_restart: Optional[Content]
    left_over: tuple[str, ...]
    log: str = ""


@dataclass
class Observed:
    """Everything that was observed in one scenario on one remote."""

    known: list[Known] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    runs: list[MonitorRun] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    end: Optional[float] = None

    @property
    def log(self) -> str:
        """What the monitor wrote, all runs after one another."""
        return "".join(run.log for run in self.runs)
