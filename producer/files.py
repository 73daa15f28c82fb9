"""Local files that are either as before or complete, never half-written."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and rename it into place. Raise ``OSError``."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(content)
    os.replace(beside, path)
