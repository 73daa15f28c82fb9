"""Looks at a live directory all the time and records every change of what it holds."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Optional

from harness.support.live_directory import Content, Digests, look_once

from .observed import Look


class Watcher:
    """Looks at ``live`` every ``every_s`` seconds in a thread of its own until stopped."""

    def __init__(
        self,
        live: Path,
        time_file: str,
        *,
        hidden: frozenset[str] = frozenset(),
        every_s: float = 0.003,
    ) -> None:
        self.looks: list[Look] = []
        self.count = 0
        self._live = live
        self._time_file = time_file
        self._hidden = hidden
        self._digests = Digests()
        self._every_s = every_s
        self._stop = threading.Event()
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Takes the first look, then goes on in the background."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Takes the last look and ends; raises what ended the thread early."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._error is not None:
            raise self._error
        self._look()

    @property
    def last(self) -> Optional[Content]:
        """What the live directory holds, as last seen."""
        if self._error is not None:
            raise self._error
        return self.looks[-1].content

    def _look(self) -> None:
        content = look_once(self._live, self._time_file, self._hidden, self._digests)
        self.count += 1
        if not self.looks or content != self.looks[-1].content:
            self.looks.append(Look(time.monotonic(), content))

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._every_s):
                self._look()
        except BaseException as error:
            self._error = error
