"""The embedded engine against every fact measured on the real server: one test each."""

from __future__ import annotations

import pytest

from bench.likeness.__main__ import judge
from bench.likeness.checks import Check, Subject, load_all

# Those that only ask the shared server something stay on one worker, so that it starts once.
_OF_THEIR_OWN = ("reload", "signals", "launcher", "requests", "start")


def _parameters() -> list[object]:
    parameters = []
    for one in load_all():
        marks = [] if one.group in _OF_THEIR_OWN else [pytest.mark.xdist_group("likeness")]
        parameters.append(pytest.param(one, id=f"{one.group}: {one.fact}", marks=marks))
    return parameters


@pytest.mark.parametrize("fact", _parameters())
def test_the_engine_is_as_measured(fact: Check, subject: Subject) -> None:
    verdict, seen = judge(fact, subject)
    assert verdict == ("better" if fact.wanted else "same"), seen
