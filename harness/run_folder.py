"""One folder of artefacts a run: ``runs/<utc>-<seed>/``, with ``runs/latest`` at the newest."""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from pathlib import Path


def new_run_folder(runs: Path, seed: int) -> Path:
    """Creates the folder and points ``latest`` at it; a second run in one second gets a suffix."""
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


def mask(text: str, secrets: list[str]) -> str:
    """``text`` with every secret replaced, for logs that are kept."""
    for secret in filter(None, secrets):
        text = re.sub(re.escape(secret), "********", text)
    return text
