"""No test keeps what an earlier test found out about its stand-in programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.containers import compose, engine


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    compose.forget()
    engine._security_options.cache_clear()
    yield
    compose.forget()
    engine._security_options.cache_clear()
