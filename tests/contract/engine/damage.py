"""Damage to a live directory, as a broken monitor may leave it."""

from __future__ import annotations

import re
from pathlib import Path


def damage_so_that_loading_crashes(live: Path) -> None:
    """Rename a declared variable: the program parses, and Paddle follows a null pointer."""
    program = live / "model.pdmodel"
    damaged, found = re.subn(rb"matmul(_v2_\d)", rb"matmun\1", program.read_bytes(), count=1)
    assert found, f"{program} multiplies no matrices"
    program.write_bytes(damaged)


def truncate(live: Path) -> None:
    params = live / "params.pdiparams"
    params.write_bytes(params.read_bytes()[:-2])
