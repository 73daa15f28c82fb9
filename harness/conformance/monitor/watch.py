"""Looks at a live directory all the time and records every change of what it holds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional

from harness.support.live_directory import Content, Digests, look_once
from harness.support.repeater import Repeater

from .observed import Look

_EVERY_S = 0.003


class Watcher:
    """Looks at ``live`` every ``_EVERY_S`` seconds in a thread of its own until stopped.

    Args:
        live: The live directory.
        hidden: The dotfiles that belong to a release and count.
    """

    def __init__(self, live: Path, hidden: frozenset[str]) -> None:
        self.looks: list[Look] = []
        self.count = 0
        self._live = live
        self._hidden = hidden
        self._digests = Digests()
        self._repeater = Repeater(self._look, _EVERY_S, "watcher")

    def start(self) -> None:
        """Take the first look, then go on in the background."""
        self._look()
        self._repeater.start()

    def stop(self) -> None:
        """Take the last look and end. Raise what ended the thread early."""
        self._repeater.stop()
        self._repeater.check()

    @property
    def last(self) -> Optional[Content]:
        """What the live directory holds, as last seen."""
        self._repeater.check()
        return self.looks[-1].content

    def _look(self) -> None:
        content = look_once(self._live, self._hidden, self._digests)
        self.count += 1
        if not self.looks or content != self.looks[-1].content:
            self.looks.append(Look(time.monotonic(), content))
