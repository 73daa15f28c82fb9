"""Runs scenarios on remotes and gives a result for each pair.

In: scenarios, a place, the releases, settings. Out: ``Result``s. One pair runs at a time on a
place, because breaking it would break its neighbours.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from . import judge
from .judge import FAILED, PASSED, UNKNOWN, Verdict
from .observed import Observed
from .places.base import Place
from .releases import Release
from .scenarios.base import Scenario
from .stage import NotMet, Settings, Stage


@dataclass(frozen=True)
class Result:
    """One scenario on one remote. ``expected``: the reason when its failure was expected."""

    scenario: str
    title: str
    loss: str
    place: str
    verdict: Verdict
    seconds: float
    expected: Optional[str] = None
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def fine(self) -> bool:
        """Passed, or failed as expected."""
        return (self.verdict.word == PASSED) if self.expected is None else (
            self.verdict.word == FAILED
        )


def run_pair(
    scenario: Scenario,
    place: Place,
    releases: Sequence[Release],
    settings: Settings,
    folder: Path,
) -> tuple[Verdict, Observed]:
    """Runs one scenario on one remote in ``folder``; what goes wrong in the suite itself is
    unknown, never passed."""
    reason = scenario.cannot(place, settings)
    if reason is not None:
        return Verdict(UNKNOWN, f"not run: {reason}"), Observed()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    observed = Observed()
    broken = ""
    try:
        remote = place.folder(f"{scenario.name}-{time.monotonic_ns()}")
        stage = Stage(place, remote, folder, releases, settings)
        observed = stage.observed
        try:
            scenario.prepare(stage)
            stage.watch()
            with contextlib.suppress(NotMet):
                scenario.act(stage)
        finally:
            stage.close()
            place.up()
            scenario.clean(stage)
    except Exception:
        broken = f"the suite itself failed: {traceback.format_exc(limit=-3)}"
    if broken:
        return Verdict(UNKNOWN, broken), observed
    return judge.verdict(observed, scenario.claims), observed


def run_place(
    scenarios: Sequence[Scenario],
    place: Place,
    releases: Sequence[Release],
    settings: Settings,
    folder: Path,
    tell: Callable[[Result], None],
) -> list[Result]:
    """Every scenario that applies, on one place that is up."""
    results = []
    for scenario in scenarios:
        if not scenario.applies(place):
            continue
        start = time.monotonic()
        verdict, observed = run_pair(
            scenario, place, releases, settings, folder / f"{scenario.name}-{place.name}"
        )
        result = Result(
            scenario.name,
            scenario.title,
            scenario.loss,
            place.name,
            verdict,
            time.monotonic() - start,
            facts=tuple(sorted(observed.facts.items())),
        )
        tell(result)
        results.append(result)
    return results
