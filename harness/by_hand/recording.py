"""A recording of the live screen: its screenshots as the frames of one animated SVG file."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

# What a frame does not need: fonts from elsewhere, the clipping of lines, and blanks.
_NEEDLESS = re.compile(
    r"@font-face \{.*?\}"
    r'|<clipPath id="[^"]*-line-\d+">.*?</clipPath>'
    r'| clip-path="url\(#[^"]*-line-\d+\)"'
    r"|<text [^>]*>(?:&#160;)*</text>",
    re.DOTALL,
)
_SIZE = re.compile(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"')
_CELLS = re.compile(r'<rect fill="(#[0-9a-f]{6})"[^>]*crispEdges"/>')
# A little larger than a screen of 80 columns and 24 rows; the picture clips the rest.
_GROUND = (2000, 2000)
# How long a frame stays, in seconds.
_FRAME_S = 1.5


def _one_ground(svg: str) -> str:
    """Return the picture with one rectangle behind all text, not one behind each word."""
    cells = _CELLS.findall(svg)
    ground = Counter(cells).most_common(1)[0][0]
    behind = re.compile(rf'<rect fill="{ground}"[^>]*crispEdges"/>')
    whole = f'<rect fill="{ground}" width="{_GROUND[0]}" height="{_GROUND[1]}"/>'
    first = behind.search(svg)
    assert first is not None
    start = first.start()
    return svg[:start] + whole + behind.sub("", svg[start:])


class Recording:
    """Frames of the screen, in order. Frames that repeat the last one are left out."""

    def __init__(self, path: Path, most: int = 16) -> None:
        """Record nothing yet.

        Args:
            path: The new SVG file.
            most: The largest number of frames; later ones are left out.
        """
        self._path = path
        self._most = most
        self._frames: list[str] = []

    def add(self, svg: str) -> None:
        """Add a screenshot as Textual exports it."""
        frame = re.sub(r"\n\s*\n+", "\n", _NEEDLESS.sub("", _one_ground(svg))).strip()
        if len(self._frames) < self._most and frame not in self._frames[-1:]:
            self._frames.append(frame)

    def write(self) -> None:
        """Write the file, if there is a frame."""
        if not self._frames:
            return
        size = _SIZE.search(self._frames[0])
        assert size is not None
        count = len(self._frames)
        part = 100 / count
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[1]} {size[2]}">',
            "<style>",
            f".frame {{ opacity: 0; animation: show {count * _FRAME_S:g}s step-end infinite; }}",
            # Without animation, for example on paper, the last frame stays.
            ".frame:last-child { opacity: 1; }",
            f"@keyframes show {{ 0% {{ opacity: 1; }} {part:.4f}%, 100% {{ opacity: 0; }} }}",
            "@media (prefers-reduced-motion) { .frame { animation: none; } }",
            "</style>",
        ]
        for number, frame in enumerate(self._frames):
            delay = f"animation-delay: {(number - count) * _FRAME_S:g}s"
            lines += [f'<g class="frame" style="{delay}">', frame, "</g>"]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("\n".join([*lines, "</svg>", ""]), encoding="utf-8")
