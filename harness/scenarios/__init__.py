"""Scenarios: small TOML files with the steps of a run, and what the set-up promises.

- ``scenario``: reads a file
- ``*.toml``: the scenarios of the harness; ``docs/scenarios.md`` lists them
"""

from __future__ import annotations

from .scenario import Scenario, listed, read

__all__ = ["Scenario", "listed", "read"]
