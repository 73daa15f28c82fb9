"""A run prints what the page of the demo shows."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from harness.remotes.registry import chosen
from harness.run.e2e import RunSettings, run
from harness.run.leg_settings import LegSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "first-run.md"


def shape(line: str) -> str:
    """Return a line of output without what differs between two runs: numbers, paths, widths."""
    line = re.sub(r"\w+://.*", "URL", line)
    line = re.sub(r" /.*", "", line)
    line = re.sub(r"\b(hdfs|ftp|http)\b(?=:| +\d)", "REMOTE", line)
    return re.sub(r"[ ─]+", " ", re.sub(r"[+-]?\d+(\.\d+)?", "N", line)).strip()


def test_a_run_prints_what_the_page_shows(tmp_path: Path) -> None:
    block = re.search(r"^\$ make e2e\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert block is not None
    lines = block[1].splitlines()
    # The set-up's lines come before the run, and the lines on the binary depend on the machine.
    begin = next(n for n, line in enumerate(lines) if line.startswith("["))
    shown = [line for line in lines[begin:] if not line.startswith(("…", "served by", "set-up"))]
    shown = [
        line for line in shown if "serving" not in line and not line.startswith(("cannot", "-2"))
    ]
    printed = io.StringIO()
    settings = RunSettings(
        remotes=chosen(["ftp"]),
        serving="embedded",
        runs=tmp_path / "runs",
        leg=LegSettings(releases=2, poll_s=0.5, rate=30, calm_s=0),
    )
    code = run(settings, Console(file=printed, width=80))
    assert code == 0, printed.getvalue()
    shapes = {shape(line) for line in printed.getvalue().splitlines()}
    missing = [line for line in shown if shape(line) not in shapes]
    assert not missing, f"{PAGE.name} shows {missing}; a run printed {printed.getvalue()}"
