"""Scenarios drawn at random: what counts as failing, how small they get, and when drawing ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from harness.cli.compose import ended
from harness.run.steps import Cause
from harness.scenarios import scenario
from harness.scenarios.compose import Budget, compose


def no_word(_: str) -> None:
    pass


def read(text: str, folder: Path) -> scenario.Scenario:
    file = folder / "drawn.toml"
    file.write_text(text)
    return scenario.read(str(file))


def test_the_smallest_scenario_with_what_breaks_is_found_and_can_be_read(tmp_path: Path) -> None:
    runs: list[str] = []

    def breaks(text: str) -> bool:
        runs.append(text)
        # Each drawn scenario is one that `harness run` takes.
        read(text, tmp_path)
        return 'fault = "cut"' in text and text.count("[[step]]") >= 4

    found = compose(breaks, 5, Budget(runs=400), no_word)
    assert found is not None
    steps = read(found, tmp_path).steps
    assert [step.do for step in steps[-2:]] == ["wait", "publish"], "the good end was removed"
    drawn = steps[:-2]
    assert len(drawn) == 2, found
    (cause,) = [step for step in drawn if isinstance(step, Cause)]
    assert (cause.fault, dict(cause.parameters)) == ("cut", {"direction": "answers", "after": 1000})
    assert len(runs) <= 400


def test_a_seed_repeats_what_is_drawn_and_another_draws_something_else() -> None:
    def drawn(seed: int) -> list[str]:
        seen: list[str] = []

        def breaks(text: str) -> bool:
            seen.append(text)
            return False

        assert compose(breaks, seed, Budget(runs=20), no_word) is None
        return seen

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("outcomes", "counts"),
    [
        ([False], False),
        ([True, True], True),
        ([True, False, True], True),
        ([True, False, False], False),
    ],
)
def test_a_candidate_counts_if_it_fails_in_two_of_three_runs(
    outcomes: list[bool], counts: bool
) -> None:
    left = list(outcomes)
    budget = Budget(runs=len(outcomes))
    found = compose(lambda _: left.pop(0), 1, budget, no_word)
    assert (found is not None) == counts
    assert not left
    assert budget.used == len(outcomes)


def test_drawing_ends_with_the_runs_or_the_time() -> None:
    budget = Budget(runs=7)
    compose(lambda _: False, 1, budget, no_word)
    assert budget.used == 7
    late = Budget(seconds=0.0)
    assert compose(lambda _: True, 1, late, no_word) is None
    assert late.used == 0


def test_a_run_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert ended([sys.executable, "-c", "print('done')"], log, 30) == 0
    began = time.monotonic()
    assert ended([sys.executable, "-c", "import time; time.sleep(600)"], log, 0.2) is None
    assert time.monotonic() - began < 120
    assert log.read_text() == "done\n"


def test_the_limit_of_a_run_is_the_sum_of_what_its_scenario_allows(tmp_path: Path) -> None:
    def longest_s(steps: str) -> float:
        return read(f'promise = "One."\n{steps}', tmp_path).longest_s

    publish = '[[step]]\ndo = "publish"\ncount = {}\n'
    one = longest_s(publish.format(1))
    leg = read('promise = "One."\n' + publish.format(1), tmp_path).leg
    release_s = leg.train_deadline_s + leg.bound_s + leg.calm_s
    assert one > 2 * release_s
    assert longest_s(publish.format(3)) == pytest.approx(one + 2 * release_s)
    waits = publish.format(1) + '[[step]]\ndo = "wait"\nfor_s = 1000.0\n'
    assert longest_s(waits) > one + 1000


def test_what_is_left_of_the_time_ends_with_it() -> None:
    assert Budget(seconds=60.0).left_s > 0
    assert Budget(seconds=60.0, since=time.monotonic() - 61).left_s < 0
