"""Theory of operation: the states of one watched model, and what leads from one to the next.

``TABLE`` has every transition and every wait. ``watch.watch`` runs from it, ``pauses`` turns its
waits into seconds, and ``docs/monitor.md`` is generated from it. A state is something the monitor
is doing; an event is how that ended.

Rules behind the rows:

1. Only the donefile *announces* a release. The monitor compares the announced release with what the
   live directory says it holds, never with a memory of the last poll. So a failed pull, a crash or
   a restart cannot lose a release. A donefile that comes and goes pulls nothing twice.
2. Whatever fails ends in IDLE. Only a signal ends the process.
3. Only SWAP changes the live directory.

Values in, values out: nothing here reads a clock, a file or a socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional

from .identity import Identity


class State(Enum):
    """What the monitor is doing for one model."""

    IDLE = "sleeps until the next poll"
    CHECK = "reads the donefile"
    PULL = "pulls the release and unpacks it into a staging folder"
    VERIFY = "checks the model's files"
    STAGE = "completes the staging folder: checks, state, ownership, time file, flush"
    SWAP = "exchanges the staging folder with the live directory"
    ENDED = "is over"


class Event(Enum):
    """How a state ended."""

    POLL_DUE = "the time for the next poll has come"
    NO_DONEFILE = "the remote has no donefile"
    INSTALLED = "the live directory holds the announced release"
    UNTRUSTED = "`--verify_signature` refuses the donefile"
    HELD = "a rollback holds the announced release back"
    ON_HOLD = "`hold` lets no release in"
    NOT_PINNED = "another release is pinned"
    QUARANTINED = "the announced release is in quarantine"
    BACKING_OFF = "the announced release failed, and its pause is not over"
    SETTLING = "the last swap is less than --settle seconds ago, or --splay delays this server"
    ANNOUNCED = "the announced release is not installed"
    PULLED = "all bytes are here, and the donefile is still the same"
    SAME = "the tarball equals the installed one byte for byte"
    MOVED = "the donefile changed during the pull"
    MOVED_AGAIN = "the donefile changed during this pull and during the pull before"
    GOOD = "a server can load the release"
    STAGED = "the staging folder is complete and on disk"
    SWAPPED = "the new release is live"
    BAD_RELEASE = "the release is bad"
    REMOTE_FAILED = "the remote failed"
    MACHINE_FAILED = "this machine failed"
    UNFORESEEN = "the monitor itself failed"
    STOP = "a signal asked the monitor to end"


class Wait(Enum):
    """How long IDLE lasts, or that the next state begins at once."""

    NONE = "none"
    INTERVAL = "one interval"
    INTERVAL_RESET = "one interval; the next failure's pause is the shortest again"
    UNTIL_SETTLED = "until `--settle` and `--splay` are over, at most one interval"
    UNTIL_RETRY = "until the release's pause is over, at most one interval"
    BACKOFF = "a growing, jittered pause"
    RETRY = "one interval at most; the release gets a growing, jittered pause"
    MOVES = "a growing, jittered pause; an unchanged donefile makes it the shortest again"


@dataclass(frozen=True)
class Row:
    """One transition."""

    # The state that ends.
    state: State
    # How it ends.
    event: Event
    # The next state.
    then: State
    # The pause before the next state.
    wait: Wait = Wait.NONE


_S, _E, _W = State, Event, Wait
# States that work on an announced release: a failure in them is a failure of that release.
_WITH_RELEASE = (_S.PULL, _S.VERIFY, _S.STAGE, _S.SWAP)

TABLE: tuple[Row, ...] = (
    Row(_S.IDLE, _E.POLL_DUE, _S.CHECK),
    Row(_S.CHECK, _E.NO_DONEFILE, _S.IDLE, _W.INTERVAL),
    Row(_S.CHECK, _E.UNTRUSTED, _S.IDLE, _W.INTERVAL),
    Row(_S.CHECK, _E.INSTALLED, _S.IDLE, _W.INTERVAL_RESET),
    Row(_S.CHECK, _E.HELD, _S.IDLE, _W.INTERVAL),
    Row(_S.CHECK, _E.ON_HOLD, _S.IDLE, _W.INTERVAL),
    Row(_S.CHECK, _E.NOT_PINNED, _S.IDLE, _W.INTERVAL),
    Row(_S.CHECK, _E.QUARANTINED, _S.IDLE, _W.INTERVAL),
    Row(_S.CHECK, _E.BACKING_OFF, _S.IDLE, _W.UNTIL_RETRY),
    Row(_S.CHECK, _E.SETTLING, _S.IDLE, _W.UNTIL_SETTLED),
    Row(_S.CHECK, _E.ANNOUNCED, _S.PULL),
    Row(_S.CHECK, _E.REMOTE_FAILED, _S.IDLE, _W.BACKOFF),
    Row(_S.CHECK, _E.MACHINE_FAILED, _S.IDLE, _W.BACKOFF),
    Row(_S.PULL, _E.PULLED, _S.VERIFY),
    Row(_S.PULL, _E.SAME, _S.IDLE, _W.INTERVAL_RESET),
    Row(_S.PULL, _E.HELD, _S.IDLE, _W.INTERVAL),
    Row(_S.PULL, _E.QUARANTINED, _S.IDLE, _W.INTERVAL),
    Row(_S.PULL, _E.MOVED, _S.CHECK),
    Row(_S.PULL, _E.MOVED_AGAIN, _S.IDLE, _W.MOVES),
    Row(_S.PULL, _E.BAD_RELEASE, _S.IDLE, _W.INTERVAL),
    Row(_S.PULL, _E.REMOTE_FAILED, _S.IDLE, _W.RETRY),
    Row(_S.PULL, _E.MACHINE_FAILED, _S.IDLE, _W.RETRY),
    Row(_S.VERIFY, _E.GOOD, _S.STAGE),
    Row(_S.VERIFY, _E.BAD_RELEASE, _S.IDLE, _W.INTERVAL),
    Row(_S.VERIFY, _E.MACHINE_FAILED, _S.IDLE, _W.RETRY),
    Row(_S.STAGE, _E.STAGED, _S.SWAP),
    Row(_S.STAGE, _E.BAD_RELEASE, _S.IDLE, _W.INTERVAL),
    Row(_S.STAGE, _E.MACHINE_FAILED, _S.IDLE, _W.RETRY),
    Row(_S.SWAP, _E.SWAPPED, _S.IDLE, _W.INTERVAL_RESET),
    Row(_S.SWAP, _E.HELD, _S.IDLE, _W.INTERVAL),
    Row(_S.SWAP, _E.ON_HOLD, _S.IDLE, _W.INTERVAL),
    Row(_S.SWAP, _E.NOT_PINNED, _S.IDLE, _W.INTERVAL),
    Row(_S.SWAP, _E.MACHINE_FAILED, _S.IDLE, _W.RETRY),
    *(Row(state, _E.UNFORESEEN, _S.IDLE, _W.BACKOFF) for state in (_S.IDLE, _S.CHECK)),
    *(Row(state, _E.UNFORESEEN, _S.IDLE, _W.RETRY) for state in _WITH_RELEASE),
    *(Row(state, _E.STOP, _S.ENDED) for state in _S if state is not _S.ENDED),
)
_ROWS = {(row.state, row.event): row for row in TABLE}


class Machine:
    """The state of one model; ``take`` is the only way to change it."""

    def __init__(self) -> None:
        self.state = State.CHECK

    def take(self, event: Event) -> Row:
        """Move on, and return the row that was taken.

        Raises:
            KeyError: The state does not know the event.
        """
        row = _ROWS[self.state, event]
        self.state = row.then
        return row


def judge(
    announced: Optional[Identity],
    *,
    installed: Optional[Identity],
    recheck: bool,
    held: Optional[Identity],
    quarantined: bool,
    backing_off: bool,
    settling: bool,
    forbidden: Optional[Event] = None,
) -> Event:
    """Decide what a poll of the donefile means.

    Args:
        announced: The release that the donefile announces; None when there is no donefile.
        installed: The last announcement of the installed release.
        recheck: The tarball may have changed although ``announced`` equals ``installed``.
        held: The release that a rollback holds back.
        quarantined: The announced release is in quarantine.
        backing_off: The pause after a failure of the announced release is not over.
        settling: ``--settle`` or ``--splay`` does not allow an installation yet.
        forbidden: What keeps the announced release out by an operator's order; None for no order.
    """
    if announced is None:
        return Event.NO_DONEFILE
    if held == announced:
        return Event.HELD
    if installed == announced and not recheck:
        return Event.INSTALLED
    if quarantined:
        return Event.QUARANTINED
    if forbidden is not None:
        return forbidden
    if backing_off:
        return Event.BACKING_OFF
    if settling:
        return Event.SETTLING
    return Event.ANNOUNCED


def as_markdown() -> str:
    """Return the table as ``docs/monitor.md`` shows it."""
    lines = [
        "| state of the monitor | what happens | next state | pause before it |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.state.name}: {row.state.value} | {row.event.value} | {row.then.name} "
        f"| {row.wait.value} |"
        for row in TABLE
    ]
    return "\n".join(lines)
