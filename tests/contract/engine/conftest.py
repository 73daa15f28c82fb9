"""Servers for the engine's tests, under the real launcher."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.conformance.serving import server
from harness.conformance.serving.checks import Subject

ENGINE = Path(sys.prefix, "bin/embedded-serving")
ASKING_MORE = Path(__file__).with_name("asking_more.py")


def more_model(name: str) -> str:
    """Return the path of a model of ``more_models.py``, for ``launch`` and ``ask``."""
    return str(server.models(Path(__file__).with_name("more_models.py")) / name)


@pytest.fixture(scope="session")
def subject() -> Iterator[Subject]:
    """The embedded engine; its shared server starts with the first test that uses the server."""
    one = Subject(server.binary(str(ENGINE)))
    yield one
    one.close()
