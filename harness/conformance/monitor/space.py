"""Looks at the free space of a disk all the time: what a monitor takes it may give back at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Optional


class LeastFree:
    """While it is entered: ``share`` is the least part of the disk of ``folder`` that was free."""

    def __init__(self, folder: Path, every_s: float = 0.002) -> None:
        self.share = 1.0
        self._folder = folder
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="free space", daemon=True)

    def __enter__(self) -> LeastFree:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        disk = os.statvfs(self._folder)
        self.share = min(self.share, disk.f_bavail / disk.f_blocks)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._look()
