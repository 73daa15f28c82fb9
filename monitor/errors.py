"""What can go wrong, as one tree: three families, each with what the monitor does about it.

    MonitorError
    ├── BadOption        a wrong option or a missing prerequisite: one sentence, exit code 2
    ├── RemoteError      the remote: tried again with growing pauses
    │   └── Mismatch     bytes that are not those the manifest promises: pulled again from zero
    ├── ReleaseError     the release: in quarantine until the donefile changes
    └── MachineError     this machine (disk, permissions, a program): tried again, logged as ERROR

Each carries the operation, the path, the cause and a hint, and prints as one sentence. ``Taken``
and ``NeedsFile`` are not part of the tree. Their callers turn them into an error, or handle them.
"""

from __future__ import annotations

import os
from typing import ClassVar

from .mask import mask


class MonitorError(Exception):
    """Base of all. ``operation`` is a verb phrase that goes with ``path`` ("read /donefile")."""

    exit_code: ClassVar[int] = 1

    def __init__(self, operation: str, path: object, cause: object, hint: str) -> None:
        self.operation = operation
        self.path = mask(str(path))
        self.cause = mask(reason(cause))
        self.hint = hint
        super().__init__(operation, self.path, self.cause, hint)

    def __str__(self) -> str:
        return f"cannot {self.operation} {self.path}: {self.cause}; {self.hint}"


class BadOption(MonitorError):
    """An option is wrong or a prerequisite is missing. The monitor did nothing.

    ``sentence`` says what is wrong, and after a ``;`` what to do.
    """

    exit_code = 2

    def __init__(self, sentence: str) -> None:
        cause, _, hint = sentence.rpartition("; ")
        super().__init__("start", "the monitor", cause or hint, hint)
        self._sentence = mask(reason(sentence))

    def __str__(self) -> str:
        return self._sentence


class RemoteError(MonitorError):
    """The remote gave no answer or a wrong answer. A retry can help."""

    exit_code = 2


class Mismatch(RemoteError):
    """The pulled bytes are not those that the manifest announces. A retry can help."""

    exit_code = 1


class ReleaseError(MonitorError):
    """The release is bad. A retry helps only after the donefile changes."""


class MachineError(MonitorError):
    """This machine failed: disk space, permissions or a program. A retry can help."""


class Taken(Exception):
    """Another process has the lock.

    Attributes:
        broken_if_asked: This host cannot tell whether the owner still runs.
    """

    def __init__(self, owner: str, *, broken_if_asked: bool = False) -> None:
        super().__init__(owner)
        self.broken_if_asked = broken_if_asked


class NeedsFile(Exception):
    """A stream is not enough: the archive is good so far, but must be read a second time."""


def reason(cause: object) -> str:
    """Return one line for any cause.

    For an ``OSError`` the line leaves out the path, because the sentence has it already.
    """
    # The errno of ssl.SSLError is one of OpenSSL's.
    ours = isinstance(cause, OSError) and not type(cause).__name__.startswith("SSL")
    if ours and isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
        return os.strerror(cause.errno) if cause.errno > 0 else cause.strerror
    if isinstance(cause, BaseException):
        return " ".join(str(cause).split()) or type(cause).__name__
    return " ".join(str(cause).split())
