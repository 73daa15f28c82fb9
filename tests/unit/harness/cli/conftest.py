"""For tests that run a program's ``main`` in their own process, which starts in milliseconds."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture
def kept_handlers() -> Iterator[None]:
    """Give this process the signal handlers back that a program sets at its start."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
