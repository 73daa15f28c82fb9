"""A progress bar for steps that take long: what is done, what is left, an estimate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class Progress:
    """Shows a bar below the output on a terminal, and nothing elsewhere.

    Args:
        what: What the steps are, such as "checks".
        total: The sum of the lengths of all steps.
    """

    def __init__(self, what: str, total: float) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left:"),
            progress.TimeRemainingColumn(),
            transient=True,
            disable=not sys.stdout.isatty(),
        )
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def done(self, length: float = 1) -> None:
        """Count a step of this length as done."""
        self._bar.advance(self._task, length)
