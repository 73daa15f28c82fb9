"""The embedded engine against every fact measured on the real server: one test each."""

from __future__ import annotations

from typing import Any

import pytest

from harness.conformance.serving.__main__ import judge
from harness.conformance.serving.checks import Check, Subject
from harness.conformance.serving.suite import load_all


def _parameters() -> list[Any]:
    parameters = []
    for one in load_all():
        # Those that share a server stay on one worker, so that it starts once.
        marks = [] if one.own else [pytest.mark.xdist_group("likeness")]
        parameters.append(pytest.param(one, id=f"{one.group}: {one.fact}", marks=marks))
    return parameters


@pytest.mark.parametrize("fact", _parameters())
def test_the_engine_is_as_measured(fact: Check, subject: Subject) -> None:
    verdict, seen = judge(fact, subject)
    if verdict == "unknown":
        pytest.skip(seen)
    assert verdict == ("better" if fact.wanted else "same"), seen
