"""The sample output on the pages is what the programs print today."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from .test_pages import PAGES, ROOT

# Part of a monitor's log line: "INFO     [announcer.py:…] doneilfe(donefile) changed." A page shows
# no line numbers, because every change of the file would make them wrong.
LOGGED = re.compile(
    r"(?P<level>[A-Z]+) +\[(?P<file>[\w.]+\.py):(?P<line>.+?)\] (?P<message>.*)$", re.M
)


# A field of a log call's format, such as %s or %.1f, as re.escape() writes it.
_FIELD = re.compile(r"%(?:s|d|\\\.\d+f)")


@functools.cache
def log_calls() -> list[tuple[str, str, str]]:
    """Return level, file and format of every message that the monitor logs."""
    found = []
    for path in sorted((ROOT / "monitor").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("info", "warning", "debug")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.append((node.func.attr.upper(), path.name, str(node.args[0].value)))
    return found


def file_of(level: str, message: str) -> str:
    """Return the file that logs this message; the longest format that fits wins."""
    fitting = [
        (len(form), name)
        for its_level, name, form in log_calls()
        if its_level == level and re.fullmatch(_FIELD.sub(".+", re.escape(form)), message)
    ]
    assert fitting, f"the monitor logs no such message: {level} {message!r}"
    return max(fitting)[1]


# The page of the suite is generated, and shows other monitors' logs as well.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "conformance.md"], ids=lambda page: page.name
)
def test_sample_log_lines_name_the_file_that_logs_them(page: Path) -> None:
    for sample in LOGGED.finditer(page.read_text(encoding="utf-8")):
        shown, file = (
            f"[{sample['file']}:{sample['line']}]",
            file_of(sample["level"], sample["message"]),
        )
        assert shown == f"[{file}:…]", f"{page.name}: {shown} should be [{file}:…]: {sample[0]}"
