"""Each broken part is what its patch says: the good one, with one change that still applies."""

from __future__ import annotations

import difflib
import filecmp
import fnmatch
import os
import py_compile
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.checker.claims import CLAIMS
from harness.conformance.monitor.places import PLACES
from harness.conformance.monitor.scenarios import all_scenarios
from harness.conformance.serving.promises import PROMISES

from . import good, judges
from .__main__ import Row, good_lines, write_rows
from .judges import CONFORMANCE, SCENARIOS, SERVING, Found, should_pass
from .parts import PACKAGES, ROOT, Break, Part, named, parts

PARTS = [part for kind in PACKAGES for part in parts(kind)]
CASES = {f"{place}/{scenario.name}" for place in PLACES for scenario in all_scenarios()}
PROMISE_IDS = {promise.id for promise in PROMISES}


def changed_lines(lines: list[str]) -> list[str]:
    return [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_patch_applies_and_changes_what_it_says(part: Part, tmp_path: Path) -> None:
    part.build(tmp_path)

    assert part.patch is not None
    wanted = changed_lines(part.patch.read_text().partition("\n\n")[2].splitlines())
    seen = []
    for path in sorted((tmp_path / part.package).rglob("*.py")):
        good = ROOT / path.relative_to(tmp_path)
        if not filecmp.cmp(good, path, shallow=False):
            py_compile.compile(str(path), doraise=True)
            old, new = good.read_text().splitlines(), path.read_text().splitlines()
            seen += changed_lines(list(difflib.unified_diff(old, new, lineterm="")))
    assert sorted(seen) == sorted(wanted)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_patch_names_a_judge_and_what_it_judges(part: Part) -> None:
    assert part.judge in ({CONFORMANCE} if part.kind == "monitor" else {SERVING, *SCENARIOS})
    assert part.wrong
    assert not part.wrong.endswith(".")
    known = {CONFORMANCE: CASES, SERVING: PROMISE_IDS}.get(part.judge, set(CLAIMS))
    assert {one.name for one in part.breaks} <= known
    assert all(fnmatch.filter(known, one.name) for one in part.maybe)


@pytest.mark.parametrize("kind", PACKAGES)
def test_the_program_of_a_part_runs_the_copy(kind: str, tmp_path: Path) -> None:
    program = Part(kind, "good", "", "").build(tmp_path)
    flag = {"monitor": "--help", "server": "-V"}[kind]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, flag], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 0, done.stderr
    # Without the copy the program finds the good package, and refuses to run it.
    shutil.rmtree(tmp_path / PACKAGES[kind])
    assert f"another {PACKAGES[kind]} runs" in run().stderr


def part_that_breaks(*names: str) -> Part:
    breaks = tuple(Break(name, ("^lost",)) for name in names)
    return Part("server", "one", "", "page", breaks, patch=Path("one.patch"))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({}, "a was not broken"),
        ({"a": ("lost one",)}, ""),
        ({"a": ("lost one", "torn")}, "a was broken otherwise: lost one; torn"),
        ({"a": ("lost",), "b": ("torn",)}, "b was broken as well: torn"),
    ],
)
def test_what_was_found_is_held_against_the_patch(
    broken: dict[str, tuple[str, ...]], said: str
) -> None:
    assert Found(broken, {}, 1.0).against(part_that_breaks("a"), whole=True) == said


def test_a_good_part_may_have_no_claim_without_an_answer() -> None:
    good = Part("server", "good", "", "page")
    unknown = {"no step back": ("cut short",)}
    said = Found({}, unknown, 1.0).against(good, whole=True)
    assert said == "no step back is unknown: cut short"


@pytest.mark.proof
def test_a_run_that_is_judged_again_elsewhere_keeps_its_seconds(tmp_path: Path) -> None:
    part, only = good.good("server", SERVING), ["rule/newer-second"]
    found = judges.server(part, SERVING, only, tmp_path / "run")
    assert not found.broken, found.broken
    assert found.seconds > 0
    # A copy without the times of the files, as git makes it.
    shutil.copytree(tmp_path / "run", tmp_path / "copy", copy_function=shutil.copyfile)

    assert judges.server(part, SERVING, only, tmp_path / "copy") == found


def rows_of(page: Path) -> dict[str, list[str]]:
    """Return the cells of each part on the page, in the page's order."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {one[0].strip("`"): one for one in cells}


def test_a_part_that_is_judged_alone_gets_its_row_and_the_other_rows_stay(tmp_path: Path) -> None:
    def row(name: str, seconds: float, judged: str) -> Row:
        return Row(named("server", name), Found({"a": ("lost",)}, {}, seconds), "", judged)

    page = tmp_path / "page.md"
    write_rows(page, [row("never-reloads", 1, "Sunday"), row("goes-back", 2, "Sunday")])
    write_rows(page, [row("never-reloads", 3, "Monday"), row("dies-in-a-reload", 4, "Monday")])

    found = [(name, cells[4], cells[6]) for name, cells in rows_of(page).items()]
    assert found == [
        ("dies-in-a-reload", "4", "Monday"),
        ("goes-back", "2", "Sunday"),
        ("never-reloads", "3", "Monday"),
    ]


def test_the_rows_of_good_parts_add_up_over_days() -> None:
    def row(runs: str, judged: str) -> list[str]:
        return ["good server", "page", runs, "0", "0", "46", judged]

    first = good_lines([row("1 to 9", "Sunday"), row("10 to 100", "Sunday")], "")
    again = good_lines([row("1 to 9", "Monday")], "\n".join(first))
    assert [line.split(" | ")[2:7:4] for line in again[2:]] == [
        ["1 to 9", "Monday |"],
        ["10 to 100", "Sunday |"],
    ]
    assert again[:2] == first[:2]
    # Otherwise the table would count a run twice.
    whole = good_lines([row("1 to 100", "Tuesday")], "\n".join(again))
    assert [line.split(" | ")[2] for line in whole[2:]] == ["1 to 100"]


def test_the_page_has_each_part_and_each_was_caught() -> None:
    found = rows_of(ROOT / "docs" / "broken-parts.md")
    for part in PARTS:
        again = f"python -m tests.broken --only {part.name} --page docs/broken-parts.md"
        assert part.name in found, again
        _, wrong, judge, _, _, verdict, _ = found[part.name]
        assert (wrong, judge, verdict) == (part.wrong, part.judge, "caught"), again


def test_a_monitor_is_judged_by_no_case_for_which_it_lacks_a_feature() -> None:
    assert should_pass("ours", "http/hook-runs-again")
    assert not should_pass("stock", "http/hook-runs-again")
    assert should_pass("stock", "http/happy-path")
