"""A test that was skipped never counts as passed, and where containers are required it fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.support.paths import repository_root
from tests.docker.conftest import EXPECTED_SKIPS, REQUIRED

ONE = "tests/docker/test_cleaning.py::test_only_projects_of_the_harness_are_taken_down"


def run_without_containers(reason: str, **further: str) -> subprocess.CompletedProcess[str]:
    """One test in containers, run by pytest as on a machine without an engine."""
    environment = {key: value for key, value in os.environ.items() if key != REQUIRED}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "docker", ONE],
        cwd=repository_root(),
        env={**environment, "NO_CONTAINERS": reason, **further},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_an_engine_tests_are_skipped_and_the_end_says_so_in_capitals() -> None:
    done = run_without_containers("there is none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CONTAINERS WERE NOT TESTED" in done.stdout
    assert "1 tests in containers were skipped, 0 passed" in done.stdout
    assert "no containers: there is none" in done.stdout


@pytest.mark.parametrize(
    ("reason", "code"), [("there is none", 1), (EXPECTED_SKIPS[0], 0)], ids=["any", "expected"]
)
def test_where_containers_are_required_only_an_expected_skip_does_not_fail(
    reason: str, code: int
) -> None:
    done = run_without_containers(reason, **{REQUIRED: "1"})
    assert done.returncode == code, done.stdout + done.stderr
    assert ("this skip is a failure" in done.stdout) == (code == 1)
