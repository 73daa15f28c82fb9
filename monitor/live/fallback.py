"""Swaps where no exchange is possible; docs/monitor.md says what each still promises.

EBUSY: the live directory is a mount point. File by file, each by a rename, time file last: a
server that loads because of the time file finds the new release whole.
EXDEV: the live directory comes from a lower layer of an overlay filesystem, which cannot be
renamed. It is taken out of the way file by file, once; every later swap is an exchange.
EINVAL, ENOSYS: no exchange here. Two renames; the directory is absent for the time in between.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from dataclasses import replace
from typing import Callable, Optional

from ..disk import copy_file, remove
from ..log import logger
from . import state
from .exchange import UNKNOWN, rename_new
from .layout import ASIDE, GONE, INSIDE, NEW, OLD, READY, STATE, torn_note
from .staging import dress, step_past_touch, tree
from .state import Installed, flush_folder


def swap(
    staging: str, live: str, timestamp_file: str, error: OSError, alive: Callable[[], None]
) -> Optional[str]:
    """Swap after the exchange failed with ``error``.

    Args:
        staging: The complete staging folder.
        live: The live directory.
        timestamp_file: The time file's name.
        error: Why there was no exchange.
        alive: Called for each piece of work. It may raise.

    Returns:
        The path of the old release; None if it was replaced file by file.

    Raises:
        OSError: The swap failed, or there is no other way than an exchange.
    """
    if error.errno == errno.EBUSY:
        logger.warning(
            "%s is a mount point: replaced file by file, not in one step; mount its parent", live
        )
        _into_mount(staging, live, timestamp_file, alive)
        return None
    if error.errno in UNKNOWN:
        logger.warning("no exchange on this filesystem: %s is absent for a moment", live)
        return _two_renames(staging, live)
    if error.errno == errno.EXDEV and _same_filesystem(staging, live):
        logger.warning("%s comes from a lower overlay layer: copied out of it once", live)
        return _out_of_lower_layer(staging, live, timestamp_file, alive)
    raise error


def _make_ready(staging: str) -> str:
    ready = staging + READY
    os.rename(staging, ready)
    flush_folder(os.path.dirname(ready) or ".")
    return ready


def _two_renames(staging: str, live: str) -> str:
    old = f"{staging}{OLD}"
    ready = _make_ready(staging)
    try:
        os.rename(live, old)
        try:
            rename_new(ready, live)
        except OSError:
            os.rename(old, live)
            raise
    except OSError:
        os.rename(ready, staging)
        raise
    return old


def _out_of_lower_layer(
    staging: str, live: str, timestamp_file: str, alive: Callable[[], None]
) -> Optional[str]:
    # Copy the old release first: what follows removes it, and --keep may need it.
    old = f"{staging}{OLD}"
    ready = staging + READY
    try:
        shutil.copytree(live, old, symlinks=True, copy_function=_copier(alive))
        _make_ready(staging)
        state.write_json(torn_note(ready), {"live": live})
        _step_past_touch(ready, live, timestamp_file)
        # First the time file: a server that finds none loads nothing and serves on.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(live, timestamp_file))
        shutil.rmtree(live)
        os.rename(ready, live)
    except BaseException:
        # Each try would need space for one more copy, and a signal must leave nothing behind.
        remove(old)
        if os.path.lexists(ready) and state.read_json(torn_note(ready)) is None:
            os.rename(ready, staging)
            remove(f"{torn_note(ready)}{NEW}")
        # Else the live directory may be torn, and ``recover`` needs what is ready.
        raise
    remove(torn_note(ready))
    return old


def _step_past_touch(new: str, live: str, timestamp_file: str) -> None:
    """Do what ``step_past_touch`` does, and write the second into the release's own state as well.

    After a kill between time file and state, the live time file already has this release's second.
    Recovery cannot tell that from a touch, and takes one second more. That costs a reload.
    """
    second = step_past_touch(new, live, timestamp_file)
    if second is not None:
        state.write_installed(new, replace(state.read_installed(new), second=second))


def _same_filesystem(one: str, other: str) -> bool:
    return os.stat(os.path.dirname(one) or ".").st_dev == os.stat(other).st_dev


def _into_mount(staging: str, live: str, timestamp_file: str, alive: Callable[[], None]) -> None:
    ready = _make_ready(staging)
    try:
        fill_mount(ready, live, timestamp_file, alive)
    except BaseException:
        if state.read_json(torn_note(ready)) is None:
            # Nothing in the mount was changed.
            os.rename(ready, staging)
            remove(f"{torn_note(ready)}{NEW}")
        # Else the live directory may be torn, and ``recover`` needs what is ready.
        raise
    put_away_copied(ready)


def put_away_copied(ready: str) -> None:
    """Remove what was copied into a mount."""
    # Rename the folder first. If a kill cuts the removal off, recovery must not take the rest for a
    # release.
    gone = f"{ready[: -len(READY)]}{GONE}"
    os.rename(ready, gone)
    remove(torn_note(ready))
    remove(gone)


def fill_mount(
    ready: str, live: str, timestamp_file: str, alive: Callable[[], None] = lambda: None
) -> None:
    """Replace the files of a mount point by those of ``ready``, one by one.

    Everything is copied into the mount first: a full disk fails before any file changes.
    """
    inside = os.path.join(live, INSIDE)
    remove(inside)
    try:
        shutil.copytree(ready, inside, copy_function=_copier(alive))
        # The copy needs the owner and the labels of the mount.
        dress(tree(inside), live)
        for folder, _, files in os.walk(inside):
            for name in files:
                alive()
                with open(os.path.join(folder, name), "rb") as file:
                    os.fsync(file.fileno())
        alive()
        # After a kill from here on, the mount holds neither release: ``recover`` fills it again.
        state.write_json(torn_note(ready), {"live": live, "mount": True})
        _move_in(inside, live, timestamp_file)
    finally:
        remove(inside)


def _copier(alive: Callable[[], None]) -> Callable[[str, str], None]:
    """Return a function for ``shutil.copytree`` that can be interrupted in a large file."""

    def copy(source: str, target: str) -> None:
        copy_file(source, target, alive)
        shutil.copystat(source, target)

    return copy


def _move_in(inside: str, live: str, timestamp_file: str) -> None:
    wanted = {os.path.relpath(path, inside) for path in _files(inside)}
    # The time file follows all that a server reads. The state is last, because it says "complete".
    last = [timestamp_file, STATE]
    # Until then the state names no release. A monitor with another --local_path, which does not see
    # the note, then installs the release again.
    state.write_installed(live, Installed(None, state.read_installed(live).second))
    for name in sorted(wanted - set(last)):
        target = os.path.join(live, name)
        _make_way(live, name)
        os.replace(os.path.join(inside, name), target)
    for path in list(_files(live)):
        name = os.path.relpath(path, live)
        if name not in wanted and name.split(os.sep)[0] != INSIDE:
            os.unlink(path)
    for folder, _, _ in os.walk(live, topdown=False):
        if folder != live and not folder.startswith(inside):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    _step_past_touch(inside, live, timestamp_file)
    for name in last:
        if name in wanted:
            flush_folder(live)
            os.replace(os.path.join(inside, name), os.path.join(live, name))
    flush_folder(live)


def _make_way(live: str, name: str) -> None:
    """Make the folders above ``name``, and remove a folder that has this name."""
    parts = name.split(os.sep)
    for depth in range(1, len(parts)):
        above = os.path.join(live, *parts[:depth])
        if os.path.lexists(above) and (os.path.islink(above) or not os.path.isdir(above)):
            os.unlink(above)
        if not os.path.isdir(above):
            os.mkdir(above)
            dress([above], live)
    target = os.path.join(live, name)
    if os.path.isdir(target) and not os.path.islink(target):
        aside = os.path.join(live, INSIDE, f"{ASIDE}{secrets.token_hex(4)}")
        os.rename(target, aside)
        shutil.rmtree(aside)


def _files(top: str) -> list[str]:
    """Return the paths of all files and links below ``top``, links to folders too."""
    found = []
    for folder, below, names in os.walk(top):
        links = [name for name in below if os.path.islink(os.path.join(folder, name))]
        found += [os.path.join(folder, name) for name in (*names, *links)]
    return found
