"""What a kill may leave beside a live directory, and what is done with it.

``TABLE`` is what the code runs from. ``docs/monitor.md`` is generated from it. Every row can be
carried out again if it is cut off.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from ..disk import remove
from .fallback import fill_mount, put_away_copied
from .kept import put_away
from .layout import INSIDE, OLD, READY, ROLLBACK, STATE, TORN, Layout, torn_note
from .state import flush_folder, read_hold, read_installed, read_json, read_quarantine


class Seen(Enum):
    """What is found."""

    READY_ALONE = f"`.MODEL.staging-ID{READY}`, and no live directory"
    READY_MOUNT = (
        f"`.MODEL.staging-ID{READY}`, a live directory, and `.MODEL.staging-ID{READY}{TORN}` "
        "whose text says that a swap was moving files into a mount"
    )
    READY_TORN = (
        f"`.MODEL.staging-ID{READY}`, a live directory, and `.MODEL.staging-ID{READY}{TORN}` "
        "whose text says that a swap was removing the live directory"
    )
    READY_EARLY = f"`.MODEL.staging-ID{READY}`, and a live directory that is whole"
    TAKEN = (
        f"`.MODEL.staging-ID{ROLLBACK}`: a kept release, or the release that a rollback replaced"
    )
    TAKEN_LINK = f"`.MODEL.staging-ID{ROLLBACK}`, a link: the live directory before a rollback"
    REPLACED = (
        f"`.MODEL.staging-ID` or `.MODEL.staging-ID{OLD}`, and `{STATE}` in the live directory "
        "names `.MODEL.staging-ID`: the release that a swap replaced"
    )
    UNFINISHED = "any other `.MODEL.staging-…`: an incomplete release, or a note about a swap"
    PULLED = "`TARBALL.ID.part…` in `--local_tmp_path`, or `ugi-….xml`"


class Done(Enum):
    """What is done with it."""

    FILL = "moves all files into the mount again, the time file last"
    RENAME = "removes the rest of the live directory, then gives the folder that name"
    UNDO = "renames the folder back to `.MODEL.staging-ID`, because the swap had not begun"
    KEEP = "moves the release into `kept/`, as the newest release"
    PUT_AWAY = "moves the release into `kept/`, as the newest release; without `--keep` removes it"
    REMOVE = "removes it"


class When(Enum):
    """What finds it. Each includes those above it."""

    SWAP = "every swap, rollback and start"
    POLL = "every poll, rollback and start"
    START = "the start"


@dataclass(frozen=True)
class Row:
    """One thing that a kill may leave."""

    # What is found.
    seen: Seen
    # What is done with it.
    done: Done
    # What finds it.
    when: When


TABLE = (
    Row(Seen.READY_ALONE, Done.RENAME, When.SWAP),
    Row(Seen.READY_MOUNT, Done.FILL, When.SWAP),
    Row(Seen.READY_TORN, Done.RENAME, When.SWAP),
    Row(Seen.READY_EARLY, Done.UNDO, When.SWAP),
    Row(Seen.TAKEN, Done.KEEP, When.POLL),
    Row(Seen.TAKEN_LINK, Done.REMOVE, When.POLL),
    Row(Seen.REPLACED, Done.PUT_AWAY, When.START),
    Row(Seen.UNFINISHED, Done.REMOVE, When.START),
    Row(Seen.PULLED, Done.REMOVE, When.START),
)
_ROWS = {row.seen: row for row in TABLE}


@dataclass(frozen=True)
class Mended:
    """One thing that was found, and what was done with it."""

    # Where it was.
    path: str
    # What was done.
    done: Done

    @property
    def finished(self) -> bool:
        """Whether this completed a swap."""
        return self.done in (Done.FILL, Done.RENAME)


def is_cut_off(layout: Layout) -> bool:
    """Return whether a killed swap or rollback left something."""
    return any(_row(path, layout).when is not When.START for path in layout.stagings())


def recover(
    layout: Layout,
    timestamp_file: str,
    *,
    until: When,
    pulled: Sequence[str] = (),
    spare: str = "",
    keep: int = 0,
    mended: Callable[[Mended], None] = lambda _: None,
) -> None:
    """Do what the table says. Needs the lock for a swap, and for ``When.START`` the monitor's.

    Args:
        layout: The live directory's paths.
        timestamp_file: The time file's name.
        until: The last kind of row that is carried out.
        pulled: What an earlier pull left; removed at the start.
        spare: A staging folder that is in use.
        keep: How many old releases are kept, the replaced release included. Only the start needs
            it.
        mended: Called for each thing that was done, also if a later one fails.

    Raises:
        OSError: Something could not be done. It can be tried again.
    """
    for when in When:
        # The folder is listed again, because an undone swap leaves an unfinished release.
        for path in layout.stagings():
            row = _row(path, layout)
            if row.when is when and path != spare:
                _carry_out(row.done, path, layout, timestamp_file, keep)
                mended(Mended(path, row.done))
        if when is until:
            break
    if until is When.START:
        for path in pulled:
            _carry_out(_ROWS[Seen.PULLED].done, path, layout, timestamp_file, keep)
            mended(Mended(path, _ROWS[Seen.PULLED].done))


def as_markdown() -> str:
    """Return the table as ``docs/monitor.md`` shows it."""
    lines = ["| what a `kill -9` left | what the monitor does | when |", "| --- | --- | --- |"]
    lines += [f"| {row.seen.value} | {row.done.value} | {row.when.value} |" for row in TABLE]
    return "\n".join(lines)


def _row(path: str, layout: Layout) -> Row:
    return _ROWS[_look(path, layout.live)]


def _look(path: str, live: str) -> Seen:
    if path.endswith(READY):
        if not os.path.lexists(live):
            return Seen.READY_ALONE
        note = read_json(torn_note(path))
        if note is None:
            return Seen.READY_EARLY
        if note.get("mount"):
            return Seen.READY_MOUNT
        return Seen.READY_TORN if os.path.isdir(live) else Seen.READY_EARLY
    if path.endswith(ROLLBACK):
        return Seen.TAKEN_LINK if os.path.islink(path) else Seen.TAKEN
    name = os.path.basename(path)
    name = name[: -len(OLD)] if name.endswith(OLD) else name
    return Seen.REPLACED if name == read_installed(live).staging else Seen.UNFINISHED


def _carry_out(done: Done, path: str, layout: Layout, timestamp_file: str, keep: int) -> None:
    live = layout.live
    if done is Done.FILL:
        fill_mount(path, live, timestamp_file)
        put_away_copied(path)
    elif done is Done.RENAME:
        if os.path.lexists(live):
            shutil.rmtree(live)
        os.rename(path, live)
        flush_folder(layout.parent)
        remove(torn_note(path))
    elif done is Done.UNDO:
        remove(os.path.join(live, INSIDE))
        os.rename(path, path[: -len(READY)])
        remove(torn_note(path))
    elif done in (Done.KEEP, Done.PUT_AWAY):
        hold = read_hold(layout.hold)
        identity = read_installed(path).identity
        bad = read_quarantine(layout.quarantine)
        gone = (hold.replaced if hold else None, bad.identity if bad else None)
        rolled_back = identity is not None and identity in gone
        most = sys.maxsize if done is Done.KEEP else keep
        put_away(layout, path, most, rolled_back=rolled_back)
    else:
        remove(path)
