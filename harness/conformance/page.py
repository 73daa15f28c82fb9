"""The parts of a suite's page: a matrix of cases and columns, and why a cell is not plain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .results import CaseResult, Column

_MAX_EVIDENCE = 160
NOT_RUN = "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def reasons(column: Column, head: Sequence[str], cells: Iterable[Sequence[str]]) -> list[str]:
    """Return the section that says why some results of a column are not plain; may be empty."""
    rows = list(cells)
    return ["", f"## Why: {column.name}", "", *table(head, rows)] if rows else []


def seen(result: CaseResult) -> str:
    """Return the evidence as a quoted cell: one line, cut where it is long."""
    plain = " ".join(result.evidence.replace("|", "\\|").replace("`", "'").split())
    if not plain:
        return ""
    return f"`{plain if len(plain) <= _MAX_EVIDENCE else plain[: _MAX_EVIDENCE - 1] + '…'}`"
