"""A badge that counts the claims that hold, in the format of shields' endpoint (https://shields.io)."""

from __future__ import annotations

import json
from pathlib import Path

from harness.checker.outcome import Outcome
from harness.checker.verdict import Verdict

_COLORS = {Outcome.VALID: "brightgreen", Outcome.INVALID: "red", Outcome.UNKNOWN: "lightgrey"}


def badge(label: str, verdict: Verdict, what: str, *, skipped: int = 0, part: str = "") -> str:
    """Return the badge's JSON.

    Args:
        label: The badge's left side.
        verdict: The claims or cases that were judged.
        what: The implementation that was judged, such as the serving binary.
        skipped: How many of the claims hold only because a difference is known.
        part: The part of the suite that ran; empty if all of it ran.
    """
    unknown = len(verdict.unknown) + len(verdict.left_out)
    held = len(verdict.claims) - len(verdict.broken) - unknown - skipped
    counts = [(held, "hold"), (len(verdict.broken), "broken"), (unknown, "not judged")]
    counts.append((skipped, "known differences"))
    said = [f"{count} {word}" for count, word in counts if count or word == "hold"]
    color = _COLORS[verdict.outcome]
    if verdict.outcome is Outcome.VALID and (unknown or skipped or part):
        color = "green"
    message = "; ".join(filter(None, (", ".join(said), what, part and f"a part: {part}")))
    content = {"schemaVersion": 1, "label": label, "message": message, "color": color}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_badge(folder: Path, verdict: Verdict, scenario: str, serving: str) -> None:
    """Write ``badge.json`` of a run; ``serving`` is the binary in words."""
    # The path and the reason of the choice say nothing to a stranger.
    what = serving.partition(" at ")[0]
    text = badge(f"hot loading, {scenario}", verdict, what)
    (folder / "badge.json").write_text(text, encoding="utf-8")
