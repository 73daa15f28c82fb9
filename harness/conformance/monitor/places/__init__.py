"""The remotes as the suite needs them: one module for each remote of the registry."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from harness.remotes.registry import REMOTES

from .base import Place


class PlaceType(Protocol):
    """A remote, with one of the ways to read it. Called with an empty folder, it makes a place."""

    name: str
    # As in ``Place``.
    length: float

    def __call__(self, folder: Path) -> Place: ...


# By the name in the report; HDFS, which is slow, comes last.
PLACES: dict[str, PlaceType] = {
    place.name: place
    for remote in reversed(REMOTES)
    for place in import_module(f"{__name__}.{remote.name}").PLACES
}
