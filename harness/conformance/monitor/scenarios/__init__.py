"""All scenarios, one family a file, in the order of the report."""

from __future__ import annotations

from . import (
    announcing,
    bad_releases,
    beside_a_server,
    disk,
    endurance,
    kills,
    machine,
    operating,
    outages,
    throughout,
)
from .base import Scenario

FAMILIES: tuple[tuple[str, tuple[type[Scenario], ...]], ...] = (
    ("Announcements", announcing.SCENARIOS),
    ("Outages", outages.SCENARIOS),
    ("Bad releases", bad_releases.SCENARIOS),
    ("The machine", disk.SCENARIOS + machine.SCENARIOS),
    ("Starts, stops, many releases", endurance.SCENARIOS),
    ("Push, hooks, orders, keys", operating.SCENARIOS),
    ("Beside a server", beside_a_server.SCENARIOS),
    ("Kills", kills.SCENARIOS),
    ("Over all", throughout.SCENARIOS),
)


def all_scenarios() -> list[Scenario]:
    """One instance of each."""
    return [scenario() for _, family in FAMILIES for scenario in family]
