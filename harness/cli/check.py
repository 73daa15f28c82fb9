"""``python -m harness check``: judges the history of a run that has ended on any machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from harness.checker.history import Event, read
from harness.checker.verdict import judge
from harness.report.bundle import SUFFIX, history_of
from harness.report.summary import print_verdict
from harness.support.errors import BadInput

_NAMES = ("history.jsonl", "history.jsonl.zst")


def check(paths: Sequence[Path], console: Console) -> int:
    """Judge files, run folders and bundles as one history; print each claim and the verdict.

    Returns:
        The exit code: 0 if all claims hold, 1 if one is broken, 3 if one cannot be judged.

    Raises:
        BadInput: A file is missing, holds no event, or is not readable.
    """
    files = [history_in(path) for path in paths]
    for file in files:
        require_an_event(file)
    unreadable: list[BadInput] = []
    verdict = judge(_all_events(files, unreadable))
    if unreadable:
        # For example a bundle that is damaged behind its first event.
        raise unreadable[0]
    for claim in verdict.claims:
        console.print(str(claim), markup=False, highlight=False, soft_wrap=True)
    print_verdict(console, verdict)
    return verdict.exit_code


def _all_events(files: Sequence[Path], unreadable: list[BadInput]) -> Iterator[Event]:
    """Yield the events of all files. Add an error to the list too, because the checker hides it."""
    try:
        for file in files:
            yield from events_in(file)
    except BadInput as error:
        unreadable.append(error)
        raise


def events_in(file: Path) -> Iterator[Event]:
    """Return the events of a history or a bundle."""
    return history_of(file) if file.name.endswith(SUFFIX) else read(file)


def history_in(path: Path) -> Path:
    """Return the history in a run folder, or the file itself."""
    if not path.is_dir():
        return path
    for name in _NAMES:
        if (path / name).exists():
            return path / name
    raise BadInput(f"{path} has no {' or '.join(_NAMES)}; name a run folder or a history")


@contextlib.contextmanager
def whole_events(file: Path) -> Iterator[None]:
    """Raise ``BadInput`` if an event of the file lacks a field, or has a field of another type."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise BadInput(
            f"{file} has an event that cannot be read: {why}; name the file that the run wrote"
        ) from error


def require_an_event(file: Path) -> None:
    """Raise ``BadInput`` if a file is empty, or if none of its lines is an event."""
    kinds = (event["event"] for event in events_in(file))
    first = next(kinds, None)
    if first is None:
        raise BadInput(f"{file} is empty; name the history of a run")
    # A compressed history that ends too early may give no event.
    if first == "damaged" and file.suffix != ".zst" and all(kind == "damaged" for kind in kinds):
        raise BadInput(f"{file} holds no event of a run; name the history of a run")
