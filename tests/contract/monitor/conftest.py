"""The conformance suite as tests: one place a remote and test worker, one folder a test.

The monitor under test is ours, run by this interpreter; ``CONFORMANCE_MONITOR_CMD`` names
another one (another interpreter's, or anybody's).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.conformance.monitor.places import PLACES
from harness.conformance.monitor.places.base import Place
from harness.conformance.monitor.releases import Release, trained_releases
from harness.conformance.monitor.settings import Settings
from harness.conformance.monitor.suite import Stock

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "conformance" / "releases"
# Short waits of ours, so that a test of a silent remote takes seconds; both are options. The FTP
# server lets three of them pass before it answers a wrong password.
OURS = f"{sys.executable} -m monitor --timeout 5 --backoff_max 2"


@pytest.fixture(scope="session")
def releases() -> list[Release]:
    """Real releases, trained once a machine."""
    return trained_releases(CACHE)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """How ours is run: it takes a fraction of a second as interval, and a busy machine's time."""
    command = os.environ.get("CONFORMANCE_MONITOR_CMD", OURS)
    return Settings(
        command,
        interval=0.2,
        patience=60.0,
        recovery=90.0,
        silence=30.0,
        short=True,
        knows=frozenset({"http_token"}),
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
