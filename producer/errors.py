"""What can go wrong in the producer, as one short tree.

    ProducerError            exit code 1: something failed that no retry mends
    ├── BadInput             exit code 2: an option, or something this machine does not have
    └── RemoteError          the remote did not do it: exit code 2 at the start, retried later

``str(error)`` is one sentence for a person: what, why, and the remedy if there is one.
"""

from __future__ import annotations


class ProducerError(Exception):
    """Base of all; ``exit_code`` is the process' exit code if no caller handles it."""

    exit_code = 1


class BadInput(ProducerError):
    """An option, or a prerequisite that this machine does not have."""

    exit_code = 2


class RemoteError(ProducerError):
    """An operation on the remote failed.

    Attributes:
        operation: A verb phrase ("rename").
        where: The URL or path, without a password.
        cause: What the remote or the network said.
        hint: What to look at.
    """

    exit_code = 2

    def __init__(self, operation: str, where: str, cause: str, hint: str) -> None:
        self.operation = operation
        self.where = where
        self.cause = cause
        self.hint = hint
        text = f"cannot {operation} {where}: {cause.strip() or 'no reason given'}"
        super().__init__(f"{text} ({hint})")
