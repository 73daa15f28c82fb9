"""Follows a growing history file."""

from __future__ import annotations

from pathlib import Path

from harness.checker.history import Event, parse
from harness.run.observe import Tail

from .view import View


class Follower:
    """The view of a history file, which another process writes."""

    def __init__(self, history: Path) -> None:
        self.view = View()
        self._lines = Tail(history)

    def update(self) -> list[Event]:
        """Take in what was added to the file, and return these events."""
        events = [parse(line) for line in self._lines.new_lines()]
        for event in events:
            self.view.take(event)
        return events
