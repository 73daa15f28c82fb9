"""Which projects belong to a run that is still going, so that `down` and `clean` leave them alone.

All runs of a user share one file. A project is the byte at its number, and stays locked until its
run releases it or ends in any way. Runs reserve free ports in the same way
(``harness/support/ports.py``).
"""

from __future__ import annotations

import fcntl
import os
import re
from functools import cache
from pathlib import Path
from typing import Optional

from .engine import PROJECT_PREFIX

_FOLDER = Path("/tmp")
_NAME = ".hot-loading-projects-"
_held: set[str] = set()


@cache
def _registry(_pid: int) -> Optional[int]:
    """Return this user's file, open until the process ends; None if it cannot be opened.

    Closing the file would release all locks of this process (fcntl(2)).
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(_FOLDER / f"{_NAME}{os.getuid()}", flags, 0o644)
        # Other users' runs read the file, whatever our umask.
        os.fchmod(descriptor, 0o644)
    except OSError:
        return None
    return descriptor


def _number(project: str) -> Optional[int]:
    found = re.fullmatch(rf"{PROJECT_PREFIX}([0-9a-f]{{1,15}})", project)
    return None if found is None else int(found.group(1), 16)


def hold(project: str) -> None:
    """Says that this process uses the project, until ``let_go`` or its own end."""
    number = _number(project)
    registry = _registry(os.getpid())
    if number is not None and registry is not None:
        fcntl.lockf(registry, fcntl.LOCK_EX, 1, number)
        _held.add(project)


def let_go(project: str) -> None:
    """Says that the project is no longer used; nothing happens when it was not."""
    number = _number(project)
    registry = _registry(os.getpid())
    if number is not None and registry is not None and project in _held:
        _held.discard(project)
        fcntl.lockf(registry, fcntl.LOCK_UN, 1, number)


def is_held(project: str) -> bool:
    """Whether a living process, of whichever user, uses the project."""
    if project in _held:
        return True
    number = _number(project)
    if number is None:
        return False
    own = _registry(os.getpid())
    if own is not None and _locked(own, number, fcntl.LOCK_EX):
        return True
    others = [path for path in _FOLDER.glob(f"{_NAME}*") if path.name != f"{_NAME}{os.getuid()}"]
    return any(_locked_elsewhere(path, number) for path in others)


def _locked_elsewhere(path: Path, number: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # A file that is open for reading allows only a shared lock.
        return _locked(descriptor, number, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, number: int, how: int) -> bool:
    try:
        fcntl.lockf(descriptor, how | fcntl.LOCK_NB, 1, number)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, number)
    return False
