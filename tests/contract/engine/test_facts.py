"""The embedded engine against every fact measured on the real server: one test each.

Two facts about many reloads under clients are long forms. ``reload/exchanged-directories`` and
``test_under_load.py`` stay as their short form.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.conformance.serving import judging
from harness.conformance.serving.checks import Subject
from harness.conformance.serving.facts import FACTS, Fact

LONG = ("reload/under-clients", "reload/copied-releases")


def _parameters() -> list[Any]:
    parameters = []
    for one in FACTS:
        # Facts that share a server stay on one worker, so that the server starts once.
        marks = [] if one.own else [pytest.mark.xdist_group("shared server")]
        marks += [pytest.mark.proof] if one.id in LONG else []
        parameters.append(pytest.param(one, id=one.id, marks=marks))
    return parameters


@pytest.mark.parametrize("fact", _parameters())
def test_the_engine_is_as_measured(fact: Fact, subject: Subject) -> None:
    result = judging.fact(fact, subject)
    if result.word == "unknown":
        pytest.skip(result.evidence)
    assert result.word == ("better" if fact.better else "same"), result.evidence
