"""Writes the report as one HTML file, as a small SVG, and as Markdown, from the same facts."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.checker.outcome import Outcome
from harness.report import latency, rollout
from harness.report.moments import WAITS

from . import charts, colors, picture
from .facts import Report

_HERE = Path(__file__).parent
MARKS = {Outcome.VALID: "✔", Outcome.INVALID: "✖", Outcome.UNKNOWN: "?"}
# A comment on GitHub has at most 65,536 characters.
MAX_MARKDOWN = 60_000
_CHARTS = {
    "timeline": charts.timeline,
    "latency": charts.latency_over_time,
    "percentiles": charts.percentiles,
    "waterfall": charts.waterfall,
}


def html(report: Report) -> str:
    """Return the page. It needs no other file, and its policy forbids it any network access."""
    scripts = [
        Markup((_HERE / name).read_text(encoding="utf-8"))
        for name in ("vendor/plotly-basic.min.js", "report.js")
    ]
    figures = {
        f"{name}-{number}": draw(leg)
        for number, leg in enumerate(report.legs, 1)
        for name, draw in _CHARTS.items()
    }
    return rendered(
        "report.html.j2",
        report=report,
        rollouts=rollout.rollouts(report.rows),
        ROLLOUT=rollout,
        figures=figures,
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
    )


def svg(report: Report) -> str:
    """Return a summary that fits a README or a chat."""
    return rendered("report.svg.j2", report=report, picture=picture.picture(report))


def markdown(report: Report) -> str:
    """Return a summary that fits a comment of a pull request and a step summary of GitHub."""
    text = ""
    # Fewer rows for each table until the text is short enough.
    for most in (200, 40, 10):
        text = rendered("report.md.j2", report=report, most=most)
        if len(text) <= MAX_MARKDOWN:
            break
    return text


def rendered(name: str, folder: Path = _HERE, **values: Any) -> str:
    """Return the text of a template in ``folder``, in the style of the report."""
    environment = Environment(
        loader=FileSystemLoader(str(folder)),
        # Markdown has rules of its own (``cell``).
        autoescape=not name.endswith(".md.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(ends=ends, after=after, cell=cell, json=_json, ms=_ms)
    environment.globals.update(
        MARKS=MARKS,
        VALID=Outcome.VALID,
        INVALID=Outcome.INVALID,
        QUANTILES=list(latency.QUANTILES),
        WAITS=WAITS,
        LAG=latency.LAG,
        SWAP=latency.SWAP,
        color_of=colors.of_release,
        style=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
    )
    return str(environment.get_template(name).render(**values))


def ends(items: Sequence[Any], most: int) -> list[Any]:
    """Return all items; if there are more than ``most``, the first, None, and the last ones."""
    if len(items) <= most:
        return list(items)
    return [*items[: most // 2], None, *items[-(most // 2) :]]


def after(seconds: Optional[float]) -> str:
    """Return seconds after a release's publishing; a dash if they are not known."""
    return "–" if seconds is None else f"{seconds:+.2f}"


def cell(text: object) -> str:
    """Return a text as one cell of a Markdown table."""
    flat = " ".join(str(text).split())
    for sign in "\\`*_|[]<>":
        flat = flat.replace(sign, f"\\{sign}" if sign not in "<>" else str(escape(sign)))
    return flat if len(flat) <= 400 else f"{flat[:400]} …"


def _ms(value: Optional[float]) -> str:
    return "–" if value is None else f"{value:.2f}"


def _json(value: object) -> Markup:
    """Return JSON for a data block of the page, in which no value can end the block."""
    # ``JSON.parse`` of a browser refuses ``NaN`` and ``Infinity``.
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
