"""Tests with the mark ``docker`` need an engine; without one they are skipped, and loudly so.

With CONTAINERS_REQUIRED set a test run fails that skipped one for any reason but an expected one.

They share one worker under pytest-xdist: an engine is one for the whole machine, and so are the
remotes that most of them use.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Optional

import pytest

from harness.cli.images import IMAGES
from harness.containers import compose, engine, images
from harness.support.errors import BadInput

HERE = Path(__file__).parent
#: Set by `make test-docker`, which has made sure of engine, Compose and base images before.
REQUIRED = "CONTAINERS_REQUIRED"
#: The ends of the reasons for which a test may be skipped even then, because the machine's docker
#: client, not its engine, lacks something.
EXPECTED_SKIPS = ("no docker client here has BuildKit: certificates cannot be passed as a secret",)


@functools.cache
def missing() -> Optional[str]:
    """Why the tests cannot run here, with the remedy; None when they can."""
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


def skipped_here(config: pytest.Config) -> list[pytest.TestReport]:
    """Reports of the tests in containers, and of those with Compose, that were skipped."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    folders = ("tests/docker", "tests/unit/harness/containers")
    return [report for report in skipped if report.nodeid.startswith(folders)]


def why(report: pytest.TestReport) -> str:
    reason = report.longrepr
    return str(reason[2] if isinstance(reason, tuple) else reason)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if a test was skipped without an expected reason although there is an engine."""
    if not os.environ.get(REQUIRED) or session.exitstatus not in (0, pytest.ExitCode.OK):
        return
    if any(not why(report).endswith(EXPECTED_SKIPS) for report in skipped_here(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = skipped_here(terminalreporter.config)
    if not skipped:
        return
    passed = [
        report
        for report in terminalreporter.stats.get("passed", [])
        if report.nodeid.startswith("tests/docker") and "docker" in report.keywords
    ]
    title = "CONTAINERS WERE NOT TESTED" if not passed else "NOT ALL WAS TESTED IN CONTAINERS"
    terminalreporter.section(title, sep="!", red=True)
    terminalreporter.line(f"{len(skipped)} tests in containers were skipped, {len(passed)} passed")
    for reason in sorted({why(report) for report in skipped}):
        terminalreporter.line(reason)
        if os.environ.get(REQUIRED) and not reason.endswith(EXPECTED_SKIPS):
            terminalreporter.line(f"({REQUIRED} is set: this skip is a failure)")


@pytest.fixture(scope="session")
def built() -> dict[str, str]:
    """Tags of all images, built when something changed. Skips where no base image can be had."""
    try:
        return {name: images.ensure(image, print) for name, image in IMAGES.items()}
    except BadInput as error:
        pytest.skip(f"no containers: {error}")
