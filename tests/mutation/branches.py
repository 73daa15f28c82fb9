"""Fails unless the tests take every line and branch of the state machine and the archive reader.

Modules and tests are those of ``score``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from score import TESTS  # type: ignore[import-not-found]

if __name__ == "__main__":
    folder = Path(__file__).parents[1] / "unit" / "monitor"
    names = sorted({name for tests in TESTS.values() for name in tests.split()})
    sys.exit(
        pytest.main(
            [
                # `score` imports what pytest's plugins would rewrite.
                "-W", "ignore::pytest.PytestAssertRewriteWarning",
                "-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:xdist",
                *(f"--cov=monitor.{module}" for module in TESTS),
                "--cov-branch", "--cov-report=term-missing", "--cov-fail-under=100",
                *(str(folder / f"test_monitor_{name}.py") for name in names),
            ]
        )
    )  # fmt: skip
