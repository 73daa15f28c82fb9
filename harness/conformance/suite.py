"""Runs scenarios on remotes and gives a result for each pair.

In: scenarios, a place, the releases, settings. Out: ``Result``s. One pair runs at a time on a
place, because breaking it would break its neighbours.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from . import judge
from .judge import FAILED, PASSED, UNKNOWN, Verdict
from .observed import Observed
from .places.base import Place
from .releases import Release
from .results import Result
from .scenarios.base import Scenario
from .scenarios.throughout import WholeThroughout
from .stage import NotMet, Settings, Stage

# How many scenarios ``--short`` draws on each remote: a poll of HDFS is a JVM.
_DRAWN = {"http": 14, "ftp": 8, "webhdfs": 4, "hdfs": 3}


@dataclass(frozen=True)
class Stock:
    """What every scenario of a run starts from: the trained releases and the user's choices."""

    releases: Sequence[Release]
    settings: Settings


def run_pair(
    scenario: Scenario,
    place: Place,
    stock: Stock,
    folder: Path,
) -> tuple[Verdict, Observed]:
    """Runs one scenario on one remote in ``folder``; what goes wrong in the suite itself is
    unknown, never passed."""
    reason = scenario.cannot(place, stock.settings)
    if reason is not None:
        return Verdict(UNKNOWN, f"not run: {reason}"), Observed()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    observed = Observed()
    broken = ""
    try:
        remote = place.folder(f"{scenario.name}-{time.monotonic_ns()}")
        stage = Stage(place, remote, folder, stock.releases, stock.settings)
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
    (folder / "timeline.txt").write_text(timeline(observed), encoding="utf-8")
    if broken:
        return Verdict(UNKNOWN, broken), observed
    return judge.verdict(observed, scenario.claims), observed


def timeline(observed: Observed) -> str:
    """What happened, for a person: publications and states of the live directory, in order."""
    lines = [
        (
            publication.at,
            f"{'announced' if publication.announced else 'uploaded'} {publication.label}",
        )
        for publication in observed.published
    ]
    for look in observed.looks:
        second = look.content.second if look.content else None
        name = judge.name_of(look.content, observed.known)
        lines.append((look.at, f"live: {name}, second {second}"))
    for run in observed.runs:
        lines.append((run.started, "monitor started"))
        lines.append((run.ended or 0.0, f"monitor ended, code {run.code}"))
    lines.sort(key=lambda line: line[0])
    zero = lines[0][0] if lines else 0.0
    return "".join(f"{at - zero:10.3f} s  {text}\n" for at, text in lines)


def run_place(
    scenarios: Sequence[Scenario],
    place: Place,
    stock: Stock,
    folder: Path,
    tell: Callable[[Result], Result],
) -> list[Result]:
    """Every scenario that applies, on one place that is up; ``tell`` gets each result at once and
    gives it back, completed."""
    results = []
    torn: list[str] = []
    watched = 0
    start = time.monotonic()
    for scenario in chosen(scenarios, place, stock.settings):
        if isinstance(scenario, WholeThroughout):
            continue
        began = time.monotonic()
        verdict, observed = run_pair(
            scenario, place, stock, folder / f"{scenario.name}-{place.name}"
        )
        # Where it happened is the run's folder; evidence is read elsewhere, too.
        verdict = Verdict(verdict.word, verdict.evidence.replace(f"{folder}/", ""))
        facts = tuple(sorted((k, v) for k, v in observed.facts.items() if k != "secret"))
        took = time.monotonic() - began
        results.append(tell(Result(scenario.name, place.name, verdict, took, facts)))
        if scenario.whole_throughout and observed.looks:
            watched += 1
            evidence = judge.always_one_whole_release(observed)
            if evidence is not None:
                torn.append(f"in {scenario.name} {evidence}")
    if watched and any(isinstance(scenario, WholeThroughout) for scenario in scenarios):
        verdict = Verdict(FAILED, "; ".join(torn[:3])) if torn else Verdict(PASSED)
        facts = (("scenarios watched", str(watched)),)
        took = time.monotonic() - start
        results.append(tell(Result(WholeThroughout.name, place.name, verdict, took, facts)))
    return results


def chosen(scenarios: Sequence[Scenario], place: Place, settings: Settings) -> list[Scenario]:
    """Those that apply to the place; for a short run a sample of them, the same for one seed."""
    apply = [scenario for scenario in scenarios if scenario.applies(place)]
    if not settings.short:
        return apply
    size = min(_DRAWN.get(place.name, 4), len(apply))
    drawn = random.Random(f"{settings.seed} {place.name}").sample(range(len(apply)), size)
    # The happy path first: without it nothing else means anything.
    return [apply[index] for index in sorted({0, *drawn})]
