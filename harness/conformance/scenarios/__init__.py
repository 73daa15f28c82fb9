"""All scenarios, one family a file, in the order of the report."""

from __future__ import annotations

from . import announcing, kills
from .base import Scenario

FAMILIES: tuple[tuple[str, tuple[type[Scenario], ...]], ...] = (
    ("Announcements", announcing.SCENARIOS),
    ("Kills", kills.SCENARIOS),
)


def all_scenarios() -> list[Scenario]:
    """One instance of each."""
    return [scenario() for _, family in FAMILIES for scenario in family]
