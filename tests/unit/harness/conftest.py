"""Runs the harness's command line in the test's process, where it starts in milliseconds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Callable

import pytest

from harness.__main__ import main

#: Exit code, standard output and standard error of a command line of the harness.
Harness = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def kept_handlers() -> Iterator[None]:
    """Give this process the signal handlers back that a program sets at its start."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def here(kept_handlers: None, capsys: pytest.CaptureFixture[str]) -> Harness:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run
