"""Calls a function again and again in a thread of its own."""

from __future__ import annotations

import threading
from typing import Callable, Optional


class Repeater:
    """Calls ``do`` every ``every_s`` seconds from ``start`` on, and a last time at ``stop``.

    Attributes:
        error: What ``do`` raised; the thread ended with it. None if ``do`` raised nothing.
    """

    def __init__(self, do: Callable[[], None], every_s: float, name: str) -> None:
        self.error: Optional[BaseException] = None
        self._do = do
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the last call and end. Safe to repeat, and without ``start``."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._every_s):
                self._do()
            self._do()
        except BaseException as error:
            self.error = error
