"""What a server needs more of from reload to reload."""

from __future__ import annotations

from harness.conformance.serving.checks import Subject


def bounded(subject: Subject, what: str) -> None:
    """The server's {what} do not grow from reload to reload."""
    raise NotImplementedError
