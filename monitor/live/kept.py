"""Old releases that are kept beside the live directory (``--keep``), for a rollback.

Each is a folder ``kept/NUMBER``. A higher number is newer. A release that a rollback took out of
service ends in ``.rolledback``. It is kept for people to look at: a rollback goes to it only with
``--to``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import Optional

from ..disk import remove
from .layout import GONE, ROLLED_BACK, Layout
from .state import Installed, read_installed


@dataclass(frozen=True)
class Kept:
    """A kept release."""

    # The release's folder.
    path: str
    # Its place in the order: a higher number is newer.
    number: int
    # Whether a rollback took it out of service.
    rolled_back: bool
    # What its state file says.
    installed: Installed


def listed(layout: Layout) -> list[Kept]:
    """Return the kept releases, oldest first."""
    try:
        names = os.listdir(layout.kept)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        digits = name[: -len(ROLLED_BACK)] if name.endswith(ROLLED_BACK) else name
        if digits.isdigit():
            path = os.path.join(layout.kept, name)
            rolled_back = name != digits
            found.append(Kept(path, int(digits), rolled_back, read_installed(path)))
    return sorted(found, key=lambda kept: kept.number)


def add(layout: Layout, old: str, keep: int, *, rolled_back: bool = False) -> None:
    """Keep the folder ``old`` as the newest release, and at most ``keep`` in all.

    Raises:
        OSError: A folder cannot be moved or removed.
    """
    os.makedirs(layout.kept, exist_ok=True)
    before = listed(layout)
    number = before[-1].number + 1 if before else 1
    with contextlib.suppress(PermissionError):
        # Without write permission for a folder, its owner cannot move it into another folder.
        os.chmod(old, stat.S_IMODE(os.stat(old).st_mode) | stat.S_IWUSR)
    os.rename(old, layout.kept_release(number, rolled_back=rolled_back))
    for kept in listed(layout)[: -keep or None]:
        _discard(layout, kept.path)


def put_away(layout: Layout, old: Optional[str], keep: int, *, rolled_back: bool = False) -> None:
    """Keep the release that a swap replaced, or remove it if nothing is to be kept.

    Args:
        layout: The live directory's paths.
        old: The folder of the old release; None if there is none. A link is removed.
        keep: How many releases are kept in all.
        rolled_back: Whether a rollback took ``old`` out of service.

    Raises:
        OSError: A folder cannot be moved or removed.
    """
    if old is None:
        return
    if keep and not os.path.islink(old):
        add(layout, old, keep, rolled_back=rolled_back)
    else:
        _discard(layout, old)


def _discard(layout: Layout, path: str) -> None:
    # Rename the folder first. If a kill cuts the removal off, recovery must not take the rest for a
    # kept or a replaced release.
    gone = layout.staging(GONE)
    os.rename(path, gone)
    remove(gone)
