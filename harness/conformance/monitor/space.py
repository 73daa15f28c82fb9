"""Looks at the free space of a disk all the time: a monitor may take some for a moment only."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Optional

from harness.support.repeater import Repeater

_EVERY_S = 0.002


class LeastFree:
    """Watches a disk during ``with``: ``share`` is the smallest free share of ``folder``'s disk."""

    def __init__(self, folder: Path) -> None:
        self.share = 1.0
        self._folder = folder
        self._repeater = Repeater(self._look, _EVERY_S, "free space")

    def __enter__(self) -> LeastFree:
        self._look()
        self._repeater.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._repeater.stop()

    def _look(self) -> None:
        disk = os.statvfs(self._folder)
        self.share = min(self.share, disk.f_bavail / disk.f_blocks)
