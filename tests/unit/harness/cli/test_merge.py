"""``python -m harness merge``: the histories of two machines become one that can be judged."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from harness.checker.history import Event, read
from harness.checker.verdict import judge
from tests.unit.harness.checker.test_clock import Worker, step_back
from tests.unit.harness.checker.test_verdict import Story
from tests.unit.harness.cli.test_check import write
from tests.unit.harness.conftest import Harness

#: Merges histories; gives the exit code, standard error, and the merged history.
Merge = Callable[..., "tuple[int, str, Path]"]

# The round trip takes 20 ms; the clock is 12 days ahead and gains 200 ppm.
WORKER, THERE_S, BACK_S = Worker(1e6, 1.0002), 0.004, 0.016


def of_run(story: Story) -> list[Event]:
    return [event for event in story.events() if event.get("client") != "http"]


def of_worker(story: Story, *, clock: bool = True) -> list[Event]:
    """Return what the http client records on another machine."""
    mine = [dict(event) for event in story.events() if event.get("client") == "http"]
    for event in mine:
        event.update({k: WORKER.local(event[k]) for k in ("t", "sent", "answered") if k in event})
    asked = [WORKER.asks(t, THERE_S, BACK_S) for t in (2, 5, 9)]
    return mine + [
        {"event": "clock", "t": one.received, "worker": "w", **vars(one)} for one in asked if clock
    ]


@pytest.fixture
def merge(here: Harness, tmp_path: Path) -> Merge:
    def merge(*histories: list[Event]) -> tuple[int, str, Path]:
        files = [write(tmp_path / f"{name}.jsonl", one) for name, one in zip("abc", histories)]
        output = tmp_path / "merged.jsonl"
        code, _, said = here("merge", *map(str, files), "--output", str(output))
        return code, said, output

    return merge


def test_a_worker_far_away_is_judged_with_the_run(merge: Merge) -> None:
    story = Story()
    code, errors, output = merge(of_worker(story), of_run(story))
    assert code == 0, errors
    events = list(read(output))
    assert judge(events).exit_code == 0
    (clock,) = [event for event in events if event["event"] == "merged"]
    error = clock["error_s"]
    assert 0.01 <= error < 0.011
    assert clock["drift"] == pytest.approx(-0.0002, abs=1e-6)
    true = {event["n"]: event["answered"] for event in story.answers("http")}
    found = [e for e in events if e["event"] == "prediction" and e["client"] == "http"]
    assert len(found) == len(true)
    for event in found:
        assert abs(event["answered"] - true[event["n"]]) <= error


@pytest.mark.parametrize(("late_s", "code"), [(0.04, 1), (0.004, 0)])
def test_a_step_back_after_the_merge(merge: Merge, late_s: float, code: int) -> None:
    story = step_back(late_s, own=False)
    _, _, output = merge(of_run(story), of_worker(story))
    verdict = judge(read(output))
    assert [claim.name for claim in verdict.broken] == ["no step back"] * code


def test_a_history_without_clock_records_is_bad_input(merge: Merge, tmp_path: Path) -> None:
    story = Story()
    code, errors, output = merge(of_run(story), of_worker(story, clock=False))
    assert code == 2
    assert errors.startswith(f"harness: {tmp_path / 'b.jsonl'} has no clock records, so ")
    assert errors.count("\n") == 1
    assert not output.exists()


def test_histories_that_do_not_go_together_are_bad_input(merge: Merge) -> None:
    story = Story()
    worker = of_worker(story)
    code, errors, _ = merge(of_run(story), worker, worker)
    assert (code, errors.count("\n")) == (2, 1)
    assert "both have a client http" in errors
    code, errors, _ = merge(of_run(story), of_run(story))
    assert (code, errors.count("\n")) == (2, 1)
    assert "are histories of two runs" in errors


def test_an_output_that_is_there_stays_as_it_is(merge: Merge, tmp_path: Path) -> None:
    story = Story()
    there = write(tmp_path / "merged.jsonl", [])
    code, errors, _ = merge(of_run(story), of_worker(story))
    assert code == 2
    assert "is already there" in errors
    assert there.read_text() == ""


@pytest.mark.parametrize(("field", "value"), [("sent", "noon"), ("answered", None)])
def test_an_event_that_cannot_be_read_is_bad_input(
    merge: Merge, tmp_path: Path, field: str, value: object
) -> None:
    worker = of_worker(Story())
    worker[0][field] = value
    code, errors, output = merge(of_run(Story()), worker)
    assert (code, errors.count("\n")) == (2, 1)
    assert f"{tmp_path / 'b.jsonl'} has an event that cannot be read: TypeError: " in errors
    assert not output.exists()
