"""One folder for each run: ``runs/<utc>-<seed>/``. ``runs/latest`` links to the newest.

A run of a conformance suite has such a folder, too, but ``latest`` never points at it. A run holds
a lock on its folder until its process ends, so that ``prune`` keeps the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from . import places
from .errors import BadInput

#: How many run folders stay; KEEP_RUNS changes it.
KEPT = 20
# A leg writes some 10 MB; a NameNode stops writing when less than 100 MB are free.
NEEDED = 200_000_000
_FOLDER = re.compile(r"\d{8}T\d{6}Z-(\d+|serving)(\.\d+)?")


def new_run_folder(runs: Path, last: object) -> Path:
    """Create the folder of a run. A second run within one second gets a suffix.

    Args:
        runs: Where run folders are made.
        last: The last part of the folder's name.

    Raises:
        BadInput: ``runs`` cannot be written, or has too little space.
    """
    with _writing(runs):
        free = places.free_bytes(str(runs))
        if free < NEEDED:
            raise BadInput(
                f"{runs} has {places.size(free)} free and a run needs {places.size(NEEDED)}; make "
                "room, or name a folder on another disk in RUNS (--runs)"
            )
        folder = _new(runs, last)
    # Deliberately never closed: the lock says that this run has not ended.
    fcntl.flock(os.open(folder, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_EX)
    return folder


def point_latest_at(folder: Path) -> None:
    """Make ``latest`` a link to the folder of a run. Raises ``BadInput`` if that cannot be."""
    with _writing(folder.parent):
        # By rename, so that a reader never finds `latest` missing.
        link = folder.with_name(f".latest-{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(folder.with_name("latest"))


def kept() -> int:
    """Return how many run folders stay: ``KEEP_RUNS``, else 20. Raises ``BadInput``."""
    given = os.environ.get("KEEP_RUNS") or str(KEPT)
    if not given.isdecimal() or int(given) < 1:
        raise BadInput(f"KEEP_RUNS={given} is no number of run folders; use 1 or more")
    return int(given)


def prune(runs: Path, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` run folders; return the removed ones.

    A run that has not ended, the target of ``latest`` and other files always stay.
    """
    found = [path for path in runs.iterdir() if _FOLDER.fullmatch(path.name)]
    found = sorted(path for path in found if path.is_dir() and not path.is_symlink())
    latest = (runs / "latest").resolve()
    gone = []
    for folder in found[: max(0, len(found) - keep)]:
        if folder.resolve() == latest:
            continue
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
            gone.append(folder)
        except OSError:
            # Its run has not ended, or a container left files of another user.
            continue
        finally:
            os.close(lock)
    return gone


@contextlib.contextmanager
def _writing(runs: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"no run folder can be made in {runs} ({error.strerror}: {error.filename}); "
            "name another in RUNS (--runs), or mend it"
        ) from error


def _new(runs: Path, last: object) -> Path:
    if (runs / "latest").exists() and not (runs / "latest").is_symlink():
        raise FileExistsError(17, "latest is there and no link", str(runs / "latest"))
    runs.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    for attempt in range(1000):
        folder = runs / (f"{stamp}-{last}" + (f".{attempt}" if attempt else ""))
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        break
    return folder
