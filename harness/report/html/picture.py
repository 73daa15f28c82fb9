"""The geometry of ``report.svg``: for each leg, which release was live and who was served it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from . import colors
from .facts import LegFacts, Report
from .lanes import FAILURE

WIDTH = 760
_LEFT, _RIGHT = 150, 16
_ROW, _GAP = 18, 12
_TOP = 74
# A picture with more rows says less.
_MAX_LEGS = 4
_MAX_LANES = 6
_LINE_CHARS = 92


@dataclass(frozen=True)
class Box:
    """One release in one lane, in pixels."""

    # The left edge.
    x: float
    # The width.
    width: float
    # The colour.
    color: str
    # The colour of the text.
    ink: str
    # The release's number.
    text: str


@dataclass(frozen=True)
class Row:
    """One lane, in pixels; ``crosses`` are failures."""

    # The part.
    label: str
    # The upper edge.
    y: float
    # Its releases.
    boxes: tuple[Box, ...]
    crosses: tuple[float, ...]


@dataclass(frozen=True)
class Picture:
    """All that the template of the SVG draws."""

    # The width, in pixels.
    width: int
    # The height, in pixels.
    height: int
    # The text above the lanes.
    lines: tuple[str, ...]
    # The lanes.
    rows: tuple[Row, ...]
    # How many legs are left out.
    left_out: int


def picture(report: Report) -> Picture:
    """Return the picture of a run."""
    rows: list[Row] = []
    lines = textwrap.wrap(report.sentence, _LINE_CHARS, max_lines=2, placeholder=" …")
    y = float(_TOP + _ROW * len(lines))
    for leg in report.legs[:_MAX_LEGS]:
        mine = list(_rows(leg, y))
        rows += mine
        y += len(mine) * _ROW + _GAP
    return Picture(
        WIDTH, int(y) + 22, tuple(lines), tuple(rows), max(0, len(report.legs) - _MAX_LEGS)
    )


def _rows(leg: LegFacts, y: float) -> Iterator[Row]:
    begin = leg.shown_since
    scale = (WIDTH - _LEFT - _RIGHT) / max(leg.end - begin, 1e-3)

    def x_of(t: float) -> float:
        return round(_LEFT + max(t - begin, 0) * scale, 1)

    shown = [lane for lane in leg.lanes if lane.name not in ("producer", "monitor")]
    for number, lane in enumerate(shown[:_MAX_LANES]):
        boxes = tuple(
            _box(x_of(span.begin), max(x_of(span.end) - x_of(span.begin), 0.5), span.release)
            for span in lane.spans
            if span.end > begin
        )
        crosses = tuple(
            x_of(mark.t) for mark in lane.marks if mark.kind == FAILURE and mark.t > begin
        )
        yield Row(lane.name, y + number * _ROW, boxes, crosses)


def _box(x: float, width: float, release: Optional[int]) -> Box:
    color, ink = colors.of_release(release)
    text = "" if release is None else str(release)
    return Box(x, round(width, 1), color, ink, text if width > 8 * len(text) + 2 else "")
