"""What finds a broken part: a suite of the harness, run by its command line.

``conformance``
    The suite of monitors, over HTTP unless a case names another remote.
``serving``
    The promises in the suite of servers.
a scenario
    ``python -m harness run`` on FTP: ``page`` is the main job, ``reloads`` a file beside this one.

A judge says of each claim or case whether it is broken, and why.
"""

from __future__ import annotations

import fnmatch
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from harness.conformance.monitor.scenarios import all_scenarios
from harness.support.process import Process

from .parts import HERE, ROOT, Part
from .parts import parts as all_parts

# How long a judge may take, in seconds.
_MAX_S = 1800.0
_MONITORS = ROOT / "harness" / "conformance" / "monitor" / "monitors"
CONFORMANCE, SERVING = "conformance", "serving"
# The suite's case over all cases of a run, which no option names.
_OVER_ALL = "/whole-throughout"
# A scenario's name, and what `harness run` is given for it.
SCENARIOS = {
    "page": ("page", "--releases", "3", "--poll", "0.5", "--margin", "8", "--rate", "100"),
    "reloads": (str(HERE / "scenarios" / "reloads.toml"),),
}
SLOW = "reloads"
_BROKEN = frozenset({"failed", "BROKEN", "invalid"})
_UNKNOWN = "unknown"
_LOG = "judge.log"
# How long the judge took, in a file of its own: times of files do not survive a copy of the folder.
_SECONDS = "seconds.txt"


@dataclass(frozen=True)
class Found:
    """What a judge found: the broken claims with their reasons, and those without an answer."""

    # The broken claims, with their reasons.
    broken: Mapping[str, tuple[str, ...]]
    # The claims without an answer, with their reasons.
    unknown: Mapping[str, tuple[str, ...]]
    # How long the judge took.
    seconds: float

    def against(self, part: Part, *, whole: bool) -> str:
        """Return what differs from what the part's patch says; "" when nothing does.

        Args:
            part: The part that was judged.
            whole: Whether all claims that the part breaks were judged.
        """
        wrong = []
        listed = (*part.breaks, *part.maybe)
        due = part.breaks if whole else part.breaks[:1]
        wrong += [f"{one.name} was not broken" for one in due if one.name not in self.broken]
        for name, reasons in self.broken.items():
            mine = [one for one in listed if fnmatch.fnmatchcase(name, one.name)]
            if not mine:
                wrong.append(f"{name} was broken as well: {'; '.join(reasons)}")
            elif not any(one.explains(reasons) for one in mine):
                wrong.append(f"{name} was broken otherwise: {'; '.join(reasons)}")
        # A run that a broken part ends leaves claims without an answer.
        if not self.broken or part.patch is None:
            wrong += [f"{name} is unknown: {'; '.join(why)}" for name, why in self.unknown.items()]
        return "\n".join(wrong)


def _run(command: Sequence[str], folder: Path, env: Optional[Mapping[str, str]] = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = " ".join(command[2:4])
    environment = {**os.environ, **(env or {})}
    began = time.monotonic()
    with Process(name, command, log=folder / _LOG, cwd=ROOT, env=environment) as process:
        process.wait(_MAX_S)
    (folder / _SECONDS).write_text(f"{time.monotonic() - began:.1f}\n")


def _seconds(folder: Path) -> float:
    """Return how long the judge took in this folder; not a number if the folder does not say."""
    kept = folder / _SECONDS
    return float(kept.read_text()) if kept.exists() else math.nan


def _found(rows: Sequence[Mapping[str, Any]], seconds: float) -> Found:
    """Return what rows with ``id``, ``outcome`` and ``reasons`` say."""
    by_word: dict[bool, dict[str, tuple[str, ...]]] = {True: {}, False: {}}
    for row in rows:
        if row["outcome"] in _BROKEN or row["outcome"] == _UNKNOWN:
            by_word[row["outcome"] in _BROKEN][row["id"]] = tuple(row["reasons"])
    return Found(by_word[True], by_word[False], seconds)


def monitors(parts: Sequence[Part], folder: Path, *, jobs: int, whole: bool) -> list[Found]:
    """Judge monitors in one run of the suite of monitors; the good one is among ``parts``.

    Args:
        parts: The monitors.
        folder: Takes the copies and the run.
        jobs: How many cases run at a time.
        whole: Judge each monitor by all cases that any monitor breaks, not only by its first.
    """
    results = folder / "conformance.json"
    if not results.exists():
        _run_monitors(parts, folder, results, jobs=jobs, whole=whole)
    columns = {column["name"]: column for column in json.loads(results.read_text())["monitors"]}
    return [
        _found(rows, sum(row["seconds"] for row in rows if not row["id"].endswith(_OVER_ALL)))
        for part in parts
        for rows in [columns[part.name]["results"]]
    ]


def _run_monitors(
    parts: Sequence[Part], folder: Path, results: Path, *, jobs: int, whole: bool
) -> None:
    ours = json.loads((_MONITORS / "ours.json").read_text())
    breaking = all_parts("monitor") if whole else parts
    listed = dict.fromkeys(one.name for part in breaking for one in part.breaks)
    cases = [name for name in listed if not name.endswith(_OVER_ALL)]
    command = [sys.executable, "-m", "harness", "conformance", "--jobs", str(jobs)]
    judged: dict[str, None] = {}
    for part in parts:
        mine = cases if whole or part.patch is None else [part.breaks[0].name]
        judged.update(dict.fromkeys(mine))
        program = part.build(folder / part.name)
        content = {
            **ours,
            "name": part.name,
            "command": f"{{python}} {program}",
            "remotes": sorted({case.partition("/")[0] for case in mine}),
            "scenarios": ",".join({case.partition("/")[2] for case in mine}),
            "failures": [],
            # A broken monitor often lets a case wait for what never comes.
            "patience": 10,
            "recovery": 20,
            "count": 24,
        }
        path = folder / part.name / "monitor.json"
        path.write_text(json.dumps(content))
        command += ["--monitor", str(path)]
    command += ["--only", ",".join(judged), "--run", str(folder / "run"), "--json", str(results)]
    _run(command, folder)


def should_pass(file: str, case: str) -> bool:
    """Whether a monitor has all that a case needs, and its file expects no failure of the case."""
    place, _, name = case.partition("/")
    content = json.loads((_MONITORS / f"{file}.json").read_text())
    needs = next(one.needs for one in all_scenarios() if one.name == name)
    fits = {*needs} <= {*content.get("knows", ()), *content.get("controls", ())}
    return (
        fits
        and place in content["remotes"]
        and not any(
            fnmatch.fnmatchcase(name, one["scenario"]) and place in one.get("remotes", [place])
            for one in content["failures"]
        )
    )


def known_monitor(file: str, only: Sequence[str], folder: Path, *, seed: int) -> Found:
    """Judge a monitor that the suite knows.

    Args:
        file: The monitor's file, without suffix.
        only: The cases.
        folder: Takes the run.
        seed: Decides samples and noise.
    """
    results = folder / "conformance.json"
    remotes = ",".join(dict.fromkeys(case.partition("/")[0] for case in only))
    command = [sys.executable, "-m", "harness", "conformance", "--seed", str(seed), "--jobs", "8"]
    command += ["--monitor", str(_MONITORS / f"{file}.json"), "--remotes", remotes]
    command += ["--count", "24", "--only", ",".join(only)]
    command += ["--run", str(folder / "run"), "--json", str(results)]
    _run(command, folder)
    (column,) = json.loads(results.read_text())["monitors"]
    return _found(column["results"], _seconds(folder))


def server(
    part: Part, judge: str, only: Sequence[str], folder: Path, options: Sequence[str] = ()
) -> Found:
    """Judge a server.

    Args:
        part: The server.
        judge: ``serving``, or the name of a scenario.
        only: The cases of the suite of servers.
        folder: Takes the copy and the run.
        options: More options for the scenario.
    """
    command = [sys.executable, "-m", "harness"]
    if judge == SERVING:
        results = folder / "conformance.json"
        command += ["conformance", "serving", "--serving-bin", str(folder / "broken-server")]
        command += ["--only", ",".join(only), "--run", str(folder / "run"), "--json", str(results)]
    else:
        results = folder / "runs" / "latest" / "report.json"
        command += ["run", *SCENARIOS[judge], *options, "--remotes", "ftp"]
        command += ["--serving-trial", "skip", "--runs", str(folder / "runs")]
    if not results.exists():
        _run(command, folder, {"SERVING_BIN": str(part.build(folder))})
    content = json.loads(results.read_text())
    seconds = _seconds(folder)
    if judge == SERVING:
        (column,) = content["binaries"]
        return _found(column["results"], seconds)
    rows = [
        {"id": claim["name"], "outcome": claim["outcome"], "reasons": [claim["why"]]}
        for claim in content["claims"]
        if claim["outcome"] != _UNKNOWN or claim["required"]
    ]
    return _found(rows, seconds)
