"""Benchmarks and comparisons, each printing one table."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Optional

_show = sys.excepthook


def _brief(kind: type[BaseException], error: BaseException, where: Optional[TracebackType]) -> None:
    """Shows Ctrl-C as one line; Python then ends by SIGINT, which shells give as 130.

    A missing package is one line as well.
    """
    if issubclass(kind, KeyboardInterrupt):
        print("bench: interrupted", file=sys.stderr)
    elif issubclass(kind, ModuleNotFoundError):
        print(f"bench: {error}; remove .venv and run `make setup`", file=sys.stderr)
    else:
        _show(kind, error, where)


# Every bench is a program of its own (`python -m bench.NAME`), and all of them import this.
sys.excepthook = _brief
