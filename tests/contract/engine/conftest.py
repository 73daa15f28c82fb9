"""Servers for the engine's tests, under the real launcher."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.conformance.serving import server
from harness.conformance.serving.checks import Subject

ENGINE = Path(sys.prefix, "bin/embedded-serving")


@pytest.fixture(scope="session")
def subject() -> Iterator[Subject]:
    """The embedded engine; its shared server starts with the first test that asks for it."""
    one = Subject(server.binary(str(ENGINE)))
    yield one
    one.close()
