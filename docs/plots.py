"""Draws the plots of ``docs/explanation/growth.md`` from what ``bench.growth`` measured.

.venv-docs/bin/python docs/plots.py bench/growth.json docs/explanation
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# matplotlib is only in the environment of the site (requirements/docs.in).
import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

# Two colours that colour-blind people can tell apart (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00")


def draw(points: list[dict[str, Any]], target: Path) -> None:
    """Draw a series: the first key is the horizontal axis, each other key is a line."""
    across, *names = points[0]
    figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for number, name in enumerate(names):
        axes = axis if number == 0 else axis.twinx()
        colour = _COLOURS[number]
        axes.plot(
            [point[across] for point in points],
            [point[name] for point in points],
            marker="os"[number], color=colour, linestyle="-" if number == 0 else "--",
        )  # fmt: skip
        axes.set_ylabel(name, color=colour)
        axes.set_ylim(bottom=0)
    axis.set_xscale("log")
    axis.set_xticks([point[across] for point in points], [f"{p[across]:,}" for p in points])
    axis.minorticks_off()
    axis.set_xlabel(across)
    axis.grid(alpha=0.3)
    # Without the date, so that the same figures give the same file.
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    """Draw all series of a file into a folder."""
    if len(sys.argv) != 3:
        print("usage: docs/plots.py bench/growth.json FOLDER", file=sys.stderr)
        return 2
    found = json.loads(Path(sys.argv[1]).read_text())
    plt.rcParams["svg.hashsalt"] = "growth"
    for name, points in found.items():
        if isinstance(points, list):
            draw(points, Path(sys.argv[2]) / f"growth-{name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
