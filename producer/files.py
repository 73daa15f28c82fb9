"""Local files that are either as before or complete, never half-written."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Writes ``content`` beside ``path`` and renames it into place. Raises ``OSError``."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(content)
    os.replace(beside, path)
