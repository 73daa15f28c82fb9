"""The outcome of a claim, with the reason and the records that break it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .history import Event

# The most records that a claim quotes.
MAX_QUOTED = 20


class Outcome(Enum):
    """The outcome of a claim."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Claim:
    """One claim about one remote: its name, its outcome and the reason.

    If a claim is not ``required`` and is unknown, it does not change the verdict.
    """

    remote: str
    name: str
    outcome: Outcome
    # The reason, as one sentence.
    why: str = ""
    # The records of the history that break the claim.
    records: tuple[Event, ...] = ()
    required: bool = True

    def __str__(self) -> str:
        text = f"{self.remote}: {self.name}: {self.outcome.value}"
        return f"{text} ({self.why})" if self.why else text


def quoted(records: Sequence[Event], wrong: Sequence[int]) -> list[Event]:
    """Return the first of the records at these positions, as many as a claim quotes."""
    return [records[position] for position in wrong[:MAX_QUOTED]]


def claim_about(remote: str, name: str, wrong: list[Event], what: str, count: int = 0) -> Claim:
    """Return a claim that is broken if there are ``wrong`` records.

    ``count`` is the number of all wrong records, if ``wrong`` has only the first ones.
    """
    if not wrong:
        return Claim(remote, name, Outcome.VALID)
    first = {key: value for key, value in wrong[0].items() if key not in ("event", "t", "remote")}
    why = f"{count or len(wrong)} {what}, the first: {first}"
    return Claim(remote, name, Outcome.INVALID, why, tuple(wrong[:MAX_QUOTED]))
