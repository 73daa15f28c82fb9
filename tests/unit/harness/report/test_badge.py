"""The badge says what passed, with which server, and whether anything was left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.checker.outcome import Claim, Outcome
from harness.checker.verdict import Verdict
from harness.report.badge import badge, write_badge


def verdict(**counts: int) -> Verdict:
    return Verdict(
        tuple(
            Claim("ftp", f"{word} {n}", Outcome(word.rstrip("_")), required=not word.endswith("_"))
            for word, count in counts.items()
            for n in range(count)
        )
    )


@pytest.mark.parametrize(
    ("judged", "message", "color"),
    [
        (verdict(valid=11), "11 hold; x", "brightgreen"),
        (verdict(valid=11, unknown_=6), "11 hold, 6 not judged; x", "green"),
        (verdict(valid=9, invalid=2, unknown=1), "9 hold, 2 broken, 1 not judged; x", "red"),
        (verdict(valid=9, unknown=1), "9 hold, 1 not judged; x", "lightgrey"),
        (verdict(), "0 hold; x", "lightgrey"),
    ],
)
def test_what_passed_and_what_was_left_out(judged: Verdict, message: str, color: str) -> None:
    found = json.loads(badge("hot loading", judged, "x"))
    assert found == {
        "schemaVersion": 1,
        "label": "hot loading",
        "message": message,
        "color": color,
    }


def test_known_differences_and_a_part_of_the_suite_are_named() -> None:
    found = json.loads(badge("conformance", verdict(valid=5), "ours", skipped=2, part="--short"))
    assert (found["message"], found["color"]) == (
        "3 hold, 2 known differences; ours; a part: --short",
        "green",
    )


def test_the_badge_of_a_run_names_the_server_without_its_path(tmp_path: Path) -> None:
    write_badge(
        tmp_path, verdict(valid=1), "steady", "embedded (0.9.0) at /home/me/serving: asked for"
    )
    found = json.loads((tmp_path / "badge.json").read_text())
    assert (found["label"], found["message"]) == ("hot loading, steady", "1 hold; embedded (0.9.0)")
