"""Where the harness keeps things: the repository, its caches, the folder of a run."""

from __future__ import annotations

import os
from pathlib import Path


def repository_root() -> Path:
    """The checkout this package was installed from (editable) or lies in."""
    return Path(__file__).resolve().parents[1]


def cache_dir(*parts: str) -> Path:
    """A folder under the project's cache, created: ``HARNESS_CACHE`` or ``.cache`` in the root."""
    base = os.environ.get("HARNESS_CACHE")
    folder = (Path(base) if base else repository_root() / ".cache").joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
