"""Which release a live directory holds, and what a monitor said last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from harness.support.live_directory import Content

from ..observed import Known


def name_of(content: Optional[Content], known: Sequence[Known]) -> str:
    """Return which release this is: a label, ``absent``, or a text that begins with ``torn``.

    If two published releases have equal files, a server cannot tell them apart. Then the label is
    that of the later one.
    """
    if content is None:
        return "absent"
    for release in reversed(known):
        if release.files == content.files:
            return release.label
    holds = []
    for path in sorted(content.files):
        owners = [r.label for r in known if r.files.get(path) == content.files[path]]
        holds.append(f"{path} of {owners[-1]}" if owners else f"{path} of no release")
    return "torn (" + (", ".join(holds) or "empty") + ")"


def last_line(log: str) -> str:
    """The last line of a log that is not empty, at most 200 characters of it."""
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "(nothing in its log)"
