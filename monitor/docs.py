"""The generated parts of ``docs/monitor.md``: ``python -m monitor.docs docs/monitor.md``.

Each stands between ``<!-- NAME: generated -->`` and ``<!-- end -->``. A test fails if the page
differs from what this module makes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from . import metrics
from .decisions import machine, moments
from .live import recovery
from .options.fields import OURS, UPSTREAM, option_fields
from .options.parser import shown_default


def options(origin: str) -> str:
    """Return the table of upstream's options, or of ours."""
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for option in option_fields():
        if option.metadata["origin"] == origin:
            meaning = option.metadata["help"].replace("|", "\\|")
            if option.metadata["choices"]:
                meaning += ": " + ", ".join(f"`{one}`" for one in option.metadata["choices"])
            lines.append(f"| `--{option.name}` | {shown_default(option)} | {meaning} |")
    return "\n".join(lines)


PARTS = {
    "upstream": lambda: options(UPSTREAM),
    "ours": lambda: options(OURS),
    "events": moments.as_markdown,
    "metrics": metrics.as_markdown,
    "states": machine.as_markdown,
    "recovery": recovery.as_markdown,
}


def renewed(page: str) -> str:
    """Return ``page`` with every generated part made again."""
    for name, make in PARTS.items():
        part = rf"(<!-- {name}: generated -->\n).*?(\n<!-- end -->)"
        page = re.sub(part, lambda found: found[1] + make() + found[2], page, flags=re.DOTALL)  # noqa: B023
    return page


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
