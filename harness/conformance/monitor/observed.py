"""What was observed while a scenario ran: the judge sees nothing else.

Times are seconds of the monotonic clock. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from harness.support.live_directory import Content


@dataclass(frozen=True)
class Look:
    """A change of the live directory as seen from outside; ``content`` None: it was not there."""

    # When (CLOCK_MONOTONIC, in seconds).
    at: float
    content: Optional[Content]


@dataclass(frozen=True)
class Known:
    """A release that was published: its label, files (path → sha256), and whether it is good.

    ``sha256`` is the digest of its tarball.
    """

    label: str
    files: Mapping[str, str]
    good: bool = True
    sha256: str = ""


@dataclass(frozen=True)
class Publication:
    """At ``at`` the donefile (``announced``) or only the tarball of ``label`` was in place."""

    at: float
    label: str
    announced: bool


@dataclass(frozen=True)
class MonitorRun:
    """One run of the monitor. ``ended_itself``: it ended before the suite ended it."""

    # When it began (CLOCK_MONOTONIC, in seconds).
    started: float
    # When it ended; None while it runs.
    ended: Optional[float]
    # The exit code; None if it had to be killed.
    code: Optional[int]
    ended_itself: bool
    # What it printed.
    log: str
    # How long it took to end after SIGTERM; None if it got none.
    stop_s: Optional[float] = None
    # Its command line.
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """At ``at`` the monitor was asked to look, while ``label`` was announced and not live."""

    at: float
    # The way in which it was asked.
    how: str
    label: str


@dataclass(frozen=True)
class Told:
    """One try to tell a hook of a release. ``taken``: the hook did not fail.

    ``message`` is the JSON of a web hook.
    """

    taken: bool
    # The number of the release; empty if the hook got none.
    release: str
    message: Mapping[str, Any] = field(default_factory=dict)


# The interposer's exit code when it has killed.
KILLED = 137


@dataclass(frozen=True)
class Kill:
    """One kill at one system call: what was live before, right after, and after a restart.

    ``code``: the interposer's exit code, ``KILLED`` when the kill came; None: it was still running.
    """

    # The system call.
    point: str
    code: Optional[int]
    before: Optional[Content]
    # What the live directory held right after the kill.
    after_kill: Optional[Content]
    # What it held after the restart.
    after_restart: Optional[Content]
    # What lay beside the live directory after the restart.
    left_over: tuple[str, ...]
    # What the restarted monitor printed.
    log: str = ""


@dataclass
class Observed:
    """Everything that was observed in one scenario on one remote."""

    # The releases and folders that the scenario knows.
    known: list[Known] = field(default_factory=list)
    # The announcements, in order.
    published: list[Publication] = field(default_factory=list)
    # The changes of the live directory, in order.
    looks: list[Look] = field(default_factory=list)
    # The monitor's runs, in order.
    runs: list[MonitorRun] = field(default_factory=list)
    # The preconditions that did not come about.
    unmet: list[str] = field(default_factory=list)
    # The files that the monitor wrote where it must not.
    outside: list[str] = field(default_factory=list)
    # The command lines of the monitor's processes, as other users see them.
    processes: list[str] = field(default_factory=list)
    # The kills at system calls.
    kills: list[Kill] = field(default_factory=list)
    # The requests to look, in order.
    asked: list[Asked] = field(default_factory=list)
    # What the hook was told, in order.
    told: list[Told] = field(default_factory=list)
    # The time from which a release may be live, by its label.
    allowed: dict[str, float] = field(default_factory=dict)
    # Measured values by name.
    figures: dict[str, list[float]] = field(default_factory=dict)
    # Other findings by name.
    facts: dict[str, str] = field(default_factory=dict)
    # When the scenario ended (CLOCK_MONOTONIC, in seconds).
    end: Optional[float] = None

    @property
    def log(self) -> str:
        """What the monitor wrote, all runs after one another."""
        return "".join(run.log for run in self.runs)
