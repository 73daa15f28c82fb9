"""The list of facts about servers, and the files that a run's results become."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.conformance.options import finish
from harness.conformance.results import CaseResult, Column, Run, as_json, from_json, verdict
from harness.conformance.serving.facts import FACTS
from harness.conformance.serving.report import SUITE, WORDS, page

FOUND = [
    CaseResult(fact.id, "better" if fact.better else "same", WORDS["same"].outcome, (), fact.better)
    for fact in FACTS
]
RUN = Run(
    {"date": "d", "part": "", "seconds": 60},
    [
        Column({"name": "one"}, FOUND),
        Column(
            {"name": "other"},
            [replace(FOUND[0], word="DIFFERS", outcome=WORDS["DIFFERS"].outcome, reasons=("a|b",))],
        ),
    ],
)


def test_each_fact_has_an_id_of_its_own_and_a_sentence() -> None:
    assert len({fact.id for fact in FACTS}) == len(FACTS)
    assert all(fact.sentence.endswith(".") and "{" not in fact.sentence for fact in FACTS)


def test_the_page_shows_every_fact_and_each_binary_beside_the_other() -> None:
    lines = page(RUN).splitlines()
    shown = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert set(shown) == {fact.id for fact in FACTS}
    first = next(line for line in lines if line.startswith(f"| `{FACTS[0].id}`"))
    assert first.endswith("| same | **differs** |")
    assert f"| `{FACTS[0].id}` | DIFFERS | `a\\|b` |" in lines


def test_results_are_read_again_as_they_were_written() -> None:
    again = from_json(as_json(RUN, SUITE), SUITE)
    assert again.results == RUN.results
    assert page(again) == page(RUN)
    assert verdict(again.results).exit_code == 1


def test_a_run_has_a_badge_for_each_binary(tmp_path: Path) -> None:
    one, other = (Column({"name": name}, c.results) for name, c in zip(("./a b", "c"), RUN.columns))
    finish(tmp_path, Run({**RUN.about, "part": "--only http"}, [one, other]))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["badge-.-a-b.json", "badge-c.json", "junit.xml"]
    badge = json.loads((tmp_path / "badge-.-a-b.json").read_text())
    assert badge["message"] == f"{len(FACTS)} hold; ./a b; a part: --only http"
    assert json.loads((tmp_path / "badge-c.json").read_text())["color"] == "red"
