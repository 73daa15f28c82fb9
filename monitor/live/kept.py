"""Old releases that are kept beside the live directory (``--keep``), for a rollback.

``kept/NUMBER`` each, a higher number is newer. One that a rollback took out of service ends in
``.rolledback``: it is kept to be looked at, and no rollback goes to it by itself.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from ..disk import remove
from .layout import ROLLBACK, Folder
from .state import Installed, read_hold, read_installed

ROLLED_BACK = ".rolledback"


@dataclass(frozen=True)
class Kept:
    """A kept release."""

    path: str
    number: int
    rolled_back: bool
    installed: Installed


def listed(folder: Folder) -> list[Kept]:
    """What is kept, oldest first."""
    try:
        names = os.listdir(folder.kept)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        digits = name[: -len(ROLLED_BACK)] if name.endswith(ROLLED_BACK) else name
        if digits.isdigit():
            path = os.path.join(folder.kept, name)
            rolled_back = name != digits
            found.append(Kept(path, int(digits), rolled_back, read_installed(path)))
    return sorted(found, key=lambda kept: kept.number)


def rescue(folder: Folder) -> list[str]:
    """Keeps what a rollback that was killed had in its hands; gives the paths it was found at.

    Only with the swap lock held. Raises ``OSError``.
    """
    hold = read_hold(folder.hold)
    found = [path for path in folder.stagings() if path.endswith(ROLLBACK)]
    for path in found:
        if os.path.islink(path):
            remove(path)
            continue
        identity = read_installed(path).identity
        rolled_back = identity is not None and hold is not None and identity == hold.replaced
        add(folder, path, sys.maxsize, rolled_back=rolled_back)
    return found


def add(folder: Folder, old: str, keep: int, *, rolled_back: bool = False) -> None:
    """Keeps ``old`` as the newest; of all, the newest ``keep`` stay. Raises ``OSError``."""
    os.makedirs(folder.kept, exist_ok=True)
    before = listed(folder)
    number = before[-1].number + 1 if before else 1
    end = ROLLED_BACK if rolled_back else ""
    os.rename(old, os.path.join(folder.kept, f"{number:06d}{end}"))
    for kept in listed(folder)[: -keep or None]:
        remove(kept.path)
