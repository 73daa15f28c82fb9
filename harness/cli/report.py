"""``python -m harness report``: makes the pages of a run again, from its history alone."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from harness.checker.verdict import judge
from harness.report.files import write_pages
from harness.report.html.facts import facts
from harness.report.masking import remember_environment, remember_secrets
from harness.support.errors import BadInput

from .check import events_in, history_in, require_an_event, whole_events


def report(run: Path, output: Optional[Path]) -> int:
    """Write the pages of a run, and say where they are.

    Args:
        run: A run folder, a bundle or a history.
        output: The folder for the pages; None: the run folder, or the current folder.

    Returns:
        The exit code: 0, whatever the verdict is.

    Raises:
        BadInput: The history is missing, holds no event or is not readable; or a page cannot be
            written.
    """
    history = history_in(run)
    require_an_event(history)
    remember_environment()
    if run.is_dir():
        remember_secrets(run)
    with whole_events(history):
        made = facts(events_in(history), judge(events_in(history)))
    folder = output or (run if run.is_dir() else Path.cwd())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_pages(folder, made)
    except OSError as error:
        raise BadInput(
            f"the report cannot be written: {error.strerror}: {error.filename}; name another "
            "folder with --output"
        ) from error
    print(f"{made.outcome.name}: {made.sentence}")
    print(f"report: {folder / 'report.html'} (also report.svg and report.md)")
    return 0
