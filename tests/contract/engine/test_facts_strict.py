"""With ``--strict-compat`` the engine reloads and dies as measured: one test for each fact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.conformance.serving import judging
from harness.conformance.serving.checks import Subject
from harness.conformance.serving.facts import FACTS, Fact
from tests.contract.engine.conftest import ENGINE

pytestmark = pytest.mark.xdist_group("strict server")
# Facts that the mode does not change: a swap of the model ends no process, no answer is garbage.
STILL_BETTER = ("reload/one-step", "requests/too-few-values")
# The default run has one fact of each kind: a bad feed, a bad model, and what the mode keeps.
SHORT = ("requests/wrong-feed", "reload/truncated-parameters", "requests/too-few-values")
# It is chance whether one of a few reloads meets a file that is half copied.
CHANCE = "reload/copied-releases"


def _parameters() -> list[Any]:
    """Facts about bad models and feeds."""
    return [
        pytest.param(one, id=one.id, marks=[] if one.id in SHORT else [pytest.mark.proof])
        for one in FACTS
        if one.id.startswith(("reload/", "requests/")) or one.id == "clients/wrong-shape"
    ]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """The engine with ``--strict-compat`` on its command line."""
    program = tmp_path_factory.mktemp("strict") / "serving"
    program.write_text(f'#!/bin/sh\nexec {ENGINE} "$@" --strict-compat\n')
    program.chmod(0o755)
    one = Subject(program)
    yield one
    one.close()


@pytest.mark.parametrize("fact", _parameters())
def test_in_strict_mode_the_engine_is_the_same(fact: Fact, strict: Subject) -> None:
    result = judging.fact(fact, strict)
    if fact.id == CHANCE:
        assert result.word in ("same", "better"), result.evidence
    else:
        assert result.word == ("better" if fact.id in STILL_BETTER else "same"), result.evidence
