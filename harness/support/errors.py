"""What the harness tells a person when it cannot go on.

    HarnessError
    ├── BadInput        exit code 2: an option, or something that is missing on this machine
    │   └── MissingPart     exit code 2: a part of the set-up is missing
    └── Failed          exit code 1: a part of the run did not do what it must

Both carry one sentence: what, why, remedy. ``harness.__main__`` prints it without a traceback
(with one when ``--debug`` is given).
"""

from __future__ import annotations

from .places import DOCTOR


class HarnessError(Exception):
    """Base of both; ``str(error)`` is the sentence to print."""

    exit_code = 1


class BadInput(HarnessError):
    """A wrong option, or a prerequisite that this machine does not have."""

    exit_code = 2


class MissingPart(BadInput):
    """A part of the set-up is missing. The message names ``make doctor``."""

    def __str__(self) -> str:
        return f"{super().__str__()}; {DOCTOR}"


class Failed(HarnessError):
    """A step failed, or took too long."""

    exit_code = 1


def interrupted() -> int:
    """Return 130, the exit code after a ``KeyboardInterrupt``, and make sure that Python uses it.

    If the interrupt comes during an ``exec`` (``dataclass`` calls it), Python ends by the signal
    and ignores the exit code. The next ``exec`` clears that state.
    """
    exec("")
    return 130
