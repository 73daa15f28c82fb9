"""The outcome of a claim, with the reason and the records that break it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .history import Event


class Outcome(Enum):
    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Claim:
    """One claim about one remote: what it says, what came of it, and why.

    The verdict depends on a claim that is not ``required`` only if the claim is known.
    """

    remote: str
    name: str
    outcome: Outcome
    why: str = ""
    records: tuple[Event, ...] = ()
    required: bool = True

    def __str__(self) -> str:
        text = f"{self.remote}: {self.name}: {self.outcome.value}"
        return f"{text} ({self.why})" if self.why else text
