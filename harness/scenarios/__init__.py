"""Scenarios: small TOML files that say what is done with a set-up, and what it promises.

- ``scenario``: reads a file
- ``*.toml``: the scenarios that the harness has; ``docs/scenarios.md`` lists them
"""

from __future__ import annotations

from .scenario import Scenario, listed, read

__all__ = ["Scenario", "listed", "read"]
