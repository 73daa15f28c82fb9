"""A serving binary, as the harness names it to the launcher and to people."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ServingBinary:
    """A binary for the launcher.

    ``kind`` is ``given`` (SERVING_BIN), ``official`` or ``embedded``; ``why`` says how it came to
    be chosen, in words.
    """

    kind: str
    # The file that the launcher starts.
    path: Path
    # What the binary says of itself.
    version: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.version}) at {self.path}: {self.why}"

    @property
    def environment_value(self) -> str:
        """For ``SERVING_BIN``: quoted, because the launcher pastes it into a shell command."""
        return shlex.quote(str(self.path))
