"""One folder of artefacts a run: ``runs/<utc>-<seed>/``, with ``runs/latest`` at the newest."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

from .errors import BadInput


def new_run_folder(runs: Path, seed: int) -> Path:
    """Creates the folder and points ``latest`` at it; a second run in one second gets a suffix.

    Raises ``BadInput`` when ``runs`` cannot be written.
    """
    try:
        return _new(runs, seed)
    except OSError as error:
        raise BadInput(
            f"no run folder can be made in {runs} ({error.strerror}: {error.filename}); "
            "name another with --runs, or mend it"
        ) from error


def _new(runs: Path, seed: int) -> Path:
    if (runs / "latest").exists() and not (runs / "latest").is_symlink():
        raise FileExistsError(17, "latest is there and no link", str(runs / "latest"))
    runs.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    for attempt in range(1000):
        folder = runs / (f"{stamp}-{seed}" + (f".{attempt}" if attempt else ""))
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        break
    # By rename, so that a reader never finds `latest` missing.
    link = runs / f".latest-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(runs / "latest")
    return folder
