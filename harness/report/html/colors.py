"""The colours of releases and outcomes, which colour-blind people can tell apart.

The colours are those of Okabe and Ito. Vermilion is kept for what went wrong. A release also has
its number wherever it has a colour.
"""

from __future__ import annotations

from typing import Optional

BAD = "#d55e00"
NEUTRAL = "#8c8c8c"
# Each with the colour of a text on it.
_RELEASES = (
    ("#0072b2", "#ffffff"),
    ("#e69f00", "#000000"),
    ("#009e73", "#000000"),
    ("#cc79a7", "#000000"),
    ("#56b4e9", "#000000"),
    ("#f0e442", "#000000"),
)
# Waits are warm, work is blue and green.
PHASES = {
    "published → seen": "#e69f00",
    "seen → pulled": "#56b4e9",
    "pulled → verified": "#0072b2",
    "verified → staged": "#009e73",
    "staged → swapped": "#cc79a7",
    "swapped → tick": "#f0e442",
    "tick → loaded": "#00507d",
    "loaded → answered": "#8c8c8c",
}
# A phase between moments that are no neighbours.
_MERGED = ("#999999", "#bbbbbb", "#777777")


def of_release(release: Optional[int]) -> tuple[str, str]:
    """Return the colour of a release and of the text on it; neutral for None."""
    if release is None:
        return NEUTRAL, "#000000"
    return _RELEASES[(release - 1) % len(_RELEASES)]


def of_phase(name: str, number: int) -> str:
    """Return the colour of a phase; ``number`` tells merged phases apart."""
    return PHASES.get(name, _MERGED[number % len(_MERGED)])


def of_client(number: int) -> str:
    """Return the colour of a client's line."""
    return ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")[number % 5]
