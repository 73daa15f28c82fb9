"""The conformance suite as tests: one place a remote and test worker, one folder a test.

The monitor under test is ours, run by this interpreter; ``CONFORMANCE_MONITOR_CMD`` names
another one (of another interpreter, or of another project).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.conformance.monitor.monitors import read_monitor
from harness.conformance.monitor.places import PLACES
from harness.conformance.monitor.places.base import Place
from harness.conformance.monitor.releases import Release, trained_releases
from harness.conformance.monitor.scenarios import all_scenarios
from harness.conformance.monitor.settings import Settings
from harness.conformance.monitor.suite import Stock
from harness.conformance.serving.server import Launched
from tests.contract.monitor.beside_a_server import ENGINE, TRIAL, Scene
from tests.unit.monitor.fixtures import Site

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "conformance" / "releases"
KNOWN = read_monitor(
    ROOT / "harness/conformance/monitor/monitors/ours.json",
    [scenario.name for scenario in all_scenarios()],
)
# Short waits, so that a test of a silent remote takes seconds. The time-out must be longer than the
# 3 s after which the FTP server answers a wrong password.
OURS = f"{sys.executable} -m monitor --timeout 5 --backoff_max 2"


@pytest.fixture(scope="session")
def releases() -> list[Release]:
    """Real releases, trained once a machine."""
    return trained_releases(CACHE)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """How our monitor is run: with an interval of 0.2 s, and with time for a busy machine."""
    command = os.environ.get("CONFORMANCE_MONITOR_CMD", OURS)
    return Settings(
        command,
        interval=0.2,
        patience=60.0,
        recovery=90.0,
        silence=30.0,
        short=True,
        knows=KNOWN.settings["knows"],
        controls=KNOWN.settings["controls"],
    )


@pytest.fixture(scope="session")
def stock(releases: list[Release], settings: Settings) -> Stock:
    """What every scenario starts from."""
    return Stock(releases, settings)


def _place(name: str, folder: Path) -> Iterator[Place]:
    with PLACES[name](folder) as place:
        yield place


@pytest.fixture(scope="session")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from _place("http", tmp_path_factory.mktemp("http"))


@pytest.fixture(scope="session")
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from _place("ftp", tmp_path_factory.mktemp("ftp"))


@pytest.fixture(scope="session")
def fsspec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from _place("fsspec", tmp_path_factory.mktemp("fsspec"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "remote")
    yield made
    made.close()


@pytest.fixture(scope="session")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A server that aborts on a bad model and a wrong feed, as the real one does.

    A supervisor starts it again.
    """
    folder = tmp_path_factory.mktemp("supervised")
    program = folder / "serving"
    program.write_text(f'#!/bin/sh\nwhile :; do\n{ENGINE} "$@" --strict-compat\nsleep 0.2\ndone\n')
    program.chmod(0o755)
    with Launched(program, TRIAL / "release-1", folder=folder / "server") as server:
        yield server


@pytest.fixture
def scene(site: Site) -> Iterator[Any]:
    made: list[Scene] = []

    def make(server: Launched, /, **given: object) -> Scene:
        for one in made:
            one.close()
        made.append(Scene(server, site, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()
