"""Where the harness keeps things: the repository, its caches, the folder of a run."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import BadInput


def repository_root() -> Path:
    """The checkout this package was installed from (editable) or lies in."""
    return Path(__file__).resolve().parents[2]


def cache_dir(*parts: str) -> Path:
    """A folder under the project's cache, created: ``HARNESS_CACHE`` or ``.cache`` in the root."""
    base = os.environ.get("HARNESS_CACHE")
    folder = (Path(base) if base else repository_root() / ".cache").joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"the cache {folder} cannot be made ({error.strerror}); name another in HARNESS_CACHE"
        ) from error
    return folder
