"""The checker against generated runs: valid ones, broken ones, and ones that lack records."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.checker.claims import CLAIMS
from harness.checker.completeness import SIGHTS
from harness.checker.outcome import Outcome
from harness.checker.verdict import judge

from .breaks import BREAKS, Break
from .generated import CLAIMS_JUDGED, Run, runs
from .test_verdict import written_at

_FEW: Any = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
# Paced runs, in which three releases at least reach all of two clients or more.
_paced = runs(min_releases=3, bursts=False).filter(
    lambda run: len(run.clients) > 1 and len(run.served) == len(run.published)
)


@settings(max_examples=100, **_FEW)
@given(run=st.one_of(runs(), runs(bursts=False)))
def test_no_valid_run_is_called_anything_else(run: Run) -> None:
    verdict = judge(run.events())
    assert verdict.outcome is Outcome.VALID, verdict.reasons
    judged = [name for name in CLAIMS_JUDGED if CLAIMS[name].schema <= run.schema]
    assert [claim.name for claim in verdict.claims[1:]] == judged


@pytest.mark.parametrize("broken", BREAKS, ids=str)
@settings(max_examples=8, **_FEW)
@given(run=_paced, seed=st.integers(0, 2**16))
def test_each_break_is_found_by_its_claim(broken: Break, run: Run, seed: int) -> None:
    broken.spoil(run, random.Random(seed))
    verdict = judge(run.events())
    found = {claim.name for claim in verdict.broken}
    assert broken.claim in found, verdict.claims
    assert found <= {broken.claim, *broken.also}, verdict.reasons
    for claim in verdict.broken:
        assert claim.records, claim


def test_each_claim_about_records_has_a_break() -> None:
    assert {broken.claim for broken in BREAKS} == set(CLAIMS_JUDGED)


@settings(max_examples=40, **_FEW)
@given(run=runs(), at=st.floats(0, 1, exclude_max=True))
def test_a_valid_run_cut_at_any_time_breaks_no_claim(run: Run, at: float) -> None:
    events = sorted(run.events(), key=written_at)
    verdict = judge(events[: int(at * len(events))])
    assert verdict.outcome is Outcome.UNKNOWN, verdict.reasons


@pytest.mark.parametrize(
    "kind",
    [
        *("run", "settings", "published", "swapped", "prediction", "server"),
        *("client_ended", "leg_ended", "end"),
    ],
)
@settings(max_examples=8, **_FEW)
@given(run=runs(), seed=st.integers(0, 2**16))
def test_a_run_that_lacks_records_of_a_kind_is_unknown(kind: str, run: Run, seed: int) -> None:
    verdict = judge(event for event in run.events() if event["event"] != kind)
    assert verdict.outcome is Outcome.UNKNOWN, verdict.reasons


@settings(max_examples=40, **_FEW)
@given(run=_paced, unseen=st.sets(st.sampled_from(SIGHTS), min_size=1))
def test_what_the_run_could_not_see_makes_the_claims_that_need_it_unknown(
    run: Run, unseen: set[str]
) -> None:
    run.settings["unseen"] = sorted(unseen)
    for claim in judge(run.events()).claims[1:]:
        needed = unseen & set(CLAIMS[claim.name].needs)
        assert claim.outcome is (Outcome.UNKNOWN if needed else Outcome.VALID), claim
        assert all(sight in claim.why for sight in needed)
