"""Runs one scenario on one remote, and says which are to be run.

In: a scenario, a place that is up, the releases, settings. Out: the verdict and what was observed.
One pair runs at a time on a place, because breaking it would break its neighbours.
"""

from __future__ import annotations

import contextlib
import random
import shlex
import shutil
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from harness.checker.outcome import Outcome
from harness.checker.verdict import Verdict
from harness.report.masking import masked_text
from monitor.mask import STARS

from . import judge
from .observed import Observed
from .places.base import Place
from .releases import Release
from .results import Result
from .scenarios.base import Scenario
from .scenarios.throughout import WholeThroughout
from .settings import Settings
from .stage import NotMet, Stage

# How many scenarios ``--short`` draws on each remote; few on HDFS, where a poll starts a JVM.
_DRAWN = {"http": 14, "ftp": 8, "webhdfs": 4, "fsspec": 4, "hdfs": 3}
SUITE_FAILED = "the suite itself failed: "


@dataclass(frozen=True)
class Stock:
    """What every scenario of a run starts from: the trained releases and the user's choices."""

    # The trained releases.
    releases: Sequence[Release]
    # The user's choices.
    settings: Settings


@dataclass(frozen=True)
class Done:
    """A pair that was run.

    ``whole`` says whether every look found one whole release; None where the scenario says nothing
    about it. ``torn`` is what a look found instead.
    """

    # The result of the pair.
    result: Result
    whole: Optional[bool] = None
    torn: str = ""


def run_pair(
    scenario: Scenario,
    place: Place,
    stock: Stock,
    folder: Path,
) -> tuple[Verdict, Observed]:
    """Run one scenario on one remote in ``folder``.

    A failure of the suite itself is unknown, never passed.
    """
    reason = scenario.cannot(place, stock.settings)
    if reason is not None:
        return _not_judged(f"not run: {reason}"), Observed()
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
        broken = f"{SUITE_FAILED}{traceback.format_exc(limit=-3)}"
    (folder / "timeline.txt").write_text(timeline(observed), encoding="utf-8")
    if broken:
        return _not_judged(broken), observed
    return judge.verdict(observed, scenario.claims), observed


def _not_judged(why: str) -> Verdict:
    return judge.one_claim("the scenario runs", Outcome.UNKNOWN, why)


def run_one(scenario: Scenario, place: Place, stock: Stock, folder: Path, run: Path) -> Done:
    """Run a pair, return its result. ``run``: the run's folder, which is left out of evidence."""
    began = time.monotonic()
    verdict, observed = run_pair(scenario, place, stock, folder)
    claims = (replace(claim, why=claim.why.replace(f"{run}/", "")) for claim in verdict.claims)
    facts = tuple(sorted((k, v) for k, v in observed.facts.items() if k != "secret"))
    took = time.monotonic() - began
    result = Result(
        *(scenario.name, place.name, Verdict(tuple(claims)), took, facts),
        command=_command(observed).replace(f"{run}/", ""),
        folder=str(folder.relative_to(run)),
    )
    if not (scenario.whole_throughout and observed.looks):
        return Done(result)
    torn = judge.always_one_whole_release(observed)
    return Done(result, torn is None, f"in {scenario.name} {torn}" if torn else "")


def _command(observed: Observed) -> str:
    """Return the command line of the monitor's first run, with its secrets masked."""
    line = masked_text(shlex.join(observed.runs[0].argv)) if observed.runs else ""
    secret = observed.facts.get("secret")
    return line.replace(secret, STARS) if secret else line


def throughout(place: str, done: Iterable[Done]) -> Optional[Result]:
    """The result over all pairs of one monitor and remote; None when nothing was watched."""
    watched = [one for one in done if one.whole is not None]
    if not watched:
        return None
    torn = tuple(one.torn for one in watched if not one.whole)
    outcome = Outcome.INVALID if torn else Outcome.VALID
    verdict = judge.one_claim("always one whole release", outcome, *torn[:3])
    seconds = sum(one.result.seconds for one in watched)
    facts = (("scenarios watched", str(len(watched))),)
    return Result(WholeThroughout.name, place, verdict, seconds, facts)


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


def chosen(scenarios: Sequence[Scenario], place: str, settings: Settings) -> list[Scenario]:
    """Return the scenarios that apply to a remote; for a short run, a sample drawn by the seed."""
    apply = [scenario for scenario in scenarios if scenario.applies(place, settings)]
    if not settings.short:
        return apply
    size = min(_DRAWN.get(place, 4), len(apply))
    drawn = random.Random(f"{settings.seed} {place}").sample(range(len(apply)), size)
    # The happy path first: without it nothing else means anything.
    return [apply[index] for index in sorted({0, *drawn})]
