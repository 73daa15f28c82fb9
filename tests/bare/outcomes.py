"""A pytest plugin: writes each test's outcome, or leaves out the tests that passed elsewhere.

    pytest -p tests.bare.outcomes --outcomes FILE      writes {"test id": "passed", …}
    pytest -p tests.bare.outcomes --unless-passed FILE  leaves out tests that passed there

So CI runs as root only the tests that did not pass for an ordinary user.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("outcomes")
    group.addoption("--outcomes", type=Path, help="write each test's outcome to this file")
    group.addoption("--unless-passed", type=Path, help="leave out tests that passed in this file")


def pytest_configure(config: pytest.Config) -> None:
    # Under xdist only the main process writes: it gets the workers' reports.
    if config.getoption("--outcomes") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(config.getoption("--outcomes")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    file = config.getoption("--unless-passed")
    if file is None:
        return
    outcomes = json.loads(file.read_text())
    passed = [item for item in items if outcomes.get(_test_id(item.nodeid)) == "passed"]
    config.hook.pytest_deselected(items=passed)
    items[:] = [item for item in items if item not in set(passed)]


def _test_id(nodeid: str) -> str:
    """Return the id without the group that ``--dist loadgroup`` appends."""
    return nodeid.rpartition("@")[0] if "@" in nodeid.rpartition("]")[2] else nodeid


class _Writer:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # The first bad phase of set-up, call and tear-down counts.
        test = _test_id(report.nodeid)
        if self._outcomes.get(test, "passed") == "passed":
            self._outcomes[test] = report.outcome

    def pytest_sessionfinish(self) -> None:
        self._file.write_text(json.dumps(self._outcomes, indent=1))
