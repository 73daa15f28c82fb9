"""Benchmarks and comparisons, each printing one table."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Optional

_show = sys.excepthook


def _brief(kind: type[BaseException], error: BaseException, where: Optional[TracebackType]) -> None:
    """Print one line for Ctrl-C and for a missing package, in place of a traceback.

    After Ctrl-C Python ends by SIGINT, and the shell shows exit code 130.
    """
    if issubclass(kind, KeyboardInterrupt):
        print("bench: interrupted", file=sys.stderr)
    elif issubclass(kind, ModuleNotFoundError):
        print(f"bench: {error}; remove .venv and run `make setup`", file=sys.stderr)
    else:
        _show(kind, error, where)


# Every bench is a program of its own (`python -m bench.NAME`), and all of them import this.
sys.excepthook = _brief
