"""The moments of a release that ``--event_file`` tells, and which transitions are such a moment."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Optional

from .machine import TABLE, Event, Row, State


class Moment(Enum):
    """What happened to a release: when a line is written, and its further keys."""

    SEEN = ("the monitor reads a donefile that announces a release which is not installed", ())
    PULLED = ("the release is on this machine, and the donefile is still the same", ("bytes",))
    VERIFIED = ("the release is unpacked, and a server can load it", ())
    STAGED = ("the staging folder is complete and on disk", ())
    SWAPPED = ("the release is live", ("second", "replaced"))
    SERVED = (
        "the server serves the installed release (with `--server` or `--server_log`)",
        ("by", "after"),
    )
    NOT_SERVED = ("the server does not serve the installed release in time", ("why",))
    FAILED = ("the remote or this machine failed; the monitor tries again", ("state", "why"))
    QUARANTINED = ("the release is bad and stays out", ("state", "why"))
    ROLLED_BACK = ("a rollback made an old release live again", ("second", "replaced"))

    def __init__(self, meaning: str, keys: Sequence[str]) -> None:
        self.meaning = meaning
        self.keys = keys


# The further keys of all moments.
KEYS = {
    "bytes": "how many bytes the monitor pulled",
    "second": "the time file's second",
    "replaced": "number of the release that was live before; null if it has no number",
    "by": "what confirmed it: `probe` or `log`",
    "after": "seconds since the swap",
    "state": "the state in which it happened (see below)",
    "why": "one sentence",
}
_FAILURES = (Event.REMOTE_FAILED, Event.MACHINE_FAILED, Event.MOVED_AGAIN, Event.UNFORESEEN)
# ``SEEN`` and ``SWAPPED`` are absent: a release is seen once, not at each poll, and a swap is told
# before its state ends.
_AT_END: dict[tuple[State, Event], Moment] = {
    (State.PULL, Event.PULLED): Moment.PULLED,
    (State.VERIFY, Event.GOOD): Moment.VERIFIED,
    (State.STAGE, Event.STAGED): Moment.STAGED,
    **{(row.state, row.event): Moment.FAILED for row in TABLE if row.event in _FAILURES},
    **{
        (row.state, row.event): Moment.QUARANTINED
        for row in TABLE
        if row.event is Event.BAD_RELEASE
    },
}
# What a poll means if the announced release is still to be installed.
TO_INSTALL = frozenset((Event.ANNOUNCED, Event.SETTLING, Event.BACKING_OFF))


def moment_after(row: Row) -> Optional[Moment]:
    """Return the moment that the transition ``row`` is; None for no moment."""
    return _AT_END.get((row.state, row.event))


def as_markdown() -> str:
    """Return the table of moments as ``docs/monitor.md`` shows it."""
    lines = ["| `event` | when | further keys |", "| --- | --- | --- |"]
    for moment in Moment:
        keys = ", ".join(f"`{key}`" for key in moment.keys) or "none"
        lines.append(f"| `{moment.name.lower()}` | {moment.meaning} | {keys} |")
    lines += ["", "| further key | meaning |", "| --- | --- |"]
    lines += [f"| `{key}` | {meaning} |" for key, meaning in KEYS.items()]
    return "\n".join(lines)
