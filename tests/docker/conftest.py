"""Tests with the mark ``docker`` need an engine; without one they are skipped, and loudly so.

They share one worker under pytest-xdist: an engine is one for the whole machine, and so are the
remotes that most of them use.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Optional

import pytest

from harness.containers import compose, engine, images
from harness.errors import BadInput

HERE = Path(__file__).parent


@functools.cache
def missing() -> Optional[str]:
    """Why the tests cannot run here, with the cure; None when they can."""
    if os.environ.get("NO_CONTAINERS"):
        # .ci/run found out before; fixtures must not try again to install anything.
        return os.environ["NO_CONTAINERS"]
    try:
        engine.require()
        compose.command()
    except BadInput as error:
        return str(error)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE not in item.path.parents or item.get_closest_marker("docker") is None:
            continue
        item.add_marker(pytest.mark.xdist_group("docker"))
        reason = missing()
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"no containers: {reason}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if report.nodeid.startswith("tests/docker")
    ]
    if skipped:
        terminalreporter.section("CONTAINERS WERE NOT TESTED", sep="!", red=True)
        reason = skipped[0].longrepr
        terminalreporter.line(f"{len(skipped)} tests were skipped, none of them passed")
        terminalreporter.line(str(reason[2] if isinstance(reason, tuple) else reason))


@pytest.fixture(scope="session")
def built() -> dict[str, str]:
    """Tags of all images, built when something changed. Skips where no base image can be had."""
    try:
        return {name: images.ensure(name, print) for name in images.IMAGES}
    except BadInput as error:
        pytest.skip(f"no containers: {error}")
