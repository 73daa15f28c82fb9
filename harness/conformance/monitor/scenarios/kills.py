"""SIGKILL before and after every change of a file, from the end of the pull to the end of the swap.

A first, undisturbed run under the interposer lists the calls. Then each point has a run from the
same starting state. The monitor is killed at the point, looked at, and started again.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from harness.support.errors import Failed
from harness.support.live_directory import look_once
from harness.support.waits import wait_for

from .. import interposer, judge
from ..judge import name_of
from ..observed import KILLED, Kill
from ..places.base import Place
from ..releases import MODEL_NAME
from ..settings import Settings
from ..stage import LIVE_NAME, Stage
from .base import Scenario

# Every point for the first remote of a full run; a sample where a run costs more.
_SAMPLE = 12
_JVM_SAMPLE = 6
_SHORT_SAMPLE = 3
# How often a point is tried until its call comes: runs may differ in their calls.
_TRIES = 3
# How long a restarted monitor may take to come up and to remove leftovers, in seconds.
_CLEANED_S = 10.0
# How long an installation may take from the monitor's start (seconds, beside two polls).
_INSTALLED_S = 8.0


class Point(NamedTuple):
    """A call to be killed at. ``swaps``: it is about the live directory itself."""

    number: int
    what: str
    swaps: bool


def points_of(record: Iterable[dict[str, Any]], live: Path) -> list[Point]:
    """Return the calls of a recording to kill at; pure.

    These are the calls from the last write into the pulled tarball, the end of the pull. If the
    monitor unpacks without a file for the tarball, these are all calls. A call that failed changed
    nothing and is left out.
    """
    calls = [call for call in record if call["result"] is not None and call["result"] >= 0]
    writes = [
        index
        for index, call in enumerate(calls)
        if "write" in call["call"] and any(MODEL_NAME in path for path in call["paths"])
    ]
    start = writes[-1] if writes else 0
    return [
        Point(call["n"], f"{call['call']} {_short(call['paths'])}", str(live) in call["paths"])
        for call in calls[start:]
    ]


def sampled(points: Sequence[Point], size: Optional[int], seed: int) -> list[tuple[Point, str]]:
    """Return the points to kill at, before or after, in order: all, or ``size`` of them.

    First come the calls on the live directory itself, where most can go wrong, then any others.
    """
    every = [(point, when) for point in points for when in ("before", "after")]
    if size is None or size >= len(every):
        return every
    draw = random.Random(seed)
    swaps = [one for one in every if one[0].swaps]
    others = [one for one in every if not one[0].swaps]
    drawn = draw.sample(swaps, min(size, len(swaps)))
    drawn += draw.sample(others, size - len(drawn))
    return sorted(drawn, key=every.index)


def _short(paths: Sequence[str]) -> str:
    return ", ".join("/".join(path.rsplit("/", 2)[-2:]) for path in paths)


def listing(local: Path) -> Counter[str]:
    """Return what lies beside the live directory, with ``*`` for random parts of names."""
    found: Counter[str] = Counter()
    for folder, folders, names in os.walk(local):
        if Path(folder) == local:
            folders[:] = [name for name in folders if name != LIVE_NAME]
        for name in [*folders, *names]:
            path = os.path.relpath(os.path.join(folder, name), local)
            found[re.sub(r"[0-9a-f]{6,}|\d+", "*", path)] += 1
    return found


class KillAnywhere(Scenario):
    name = "kill-anywhere"
    length = 30.0
    title = (
        "A kill -9 before or after any system call that changes a file leaves one whole release "
        "live. A restart installs the new one and leaves nothing behind."
    )
    loss = "A crash at the wrong moment leaves a server that cannot start, or a full disk."
    whole_throughout = False
    # Only the runs without a kill are kept.
    claims = (judge.every_kill_is_survived, judge.some_kills, judge.keeps_running)

    def cannot(self, place: Place, settings: Settings) -> Optional[str]:
        if sys.platform != "linux" or platform.machine() != "x86_64":
            return "the interposer needs x86-64 Linux"
        probe = [sys.executable, interposer.__file__, "--under", "/nowhere"]
        probe += ["--record", os.devnull, "--", "true"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else f"ptrace is not allowed: {done.stderr.strip()}"

    def prepare(self, stage: Stage) -> None:
        # Several files that all differ, so that every mixture shows.
        self.before, self.after = (
            release.with_files(
                {"a.txt": b"%d\n" % release.number, "z/z.txt": b"%d\n" % release.number}
            )
            for release in stage.releases[1:3]
        )
        stage.install(stage.releases[0])

    def begin(self, stage: Stage) -> Optional[int]:
        """Bring about the state that every kill starts from.

        Returns:
            The second of the next donefile; None for the time of its upload.
        """
        stage.publish(self.before)
        stage.start_monitor()
        stage.expect_live(self.before)
        stage.let_polls_pass(1)
        stage.runs.stop(term=True)
        return stage.remote.second(MODEL_NAME) + 120

    def act(self, stage: Stage) -> None:
        second = self.begin(stage)
        stage.unwatch()
        stage.observed.runs.clear()
        snapshot = stage.folder / "snapshot"
        _copy(stage.local, snapshot)
        stage.publish(self.after, second=second)

        record = stage.folder / "calls.jsonl"
        stage.start_monitor(wrap=_interposed(stage, record))
        stage.expect(
            lambda: self._live(stage) == self.after.label,
            f"{self.after.label} to be live",
            # Under the interposer an installation takes longer.
            max(stage.settings.patience, _INSTALLED_S),
        )
        stage.let_polls_pass(1)
        stage.runs.stop()
        clean = listing(stage.local)
        points = points_of(
            map(json.loads, record.read_text().splitlines()), Path(os.path.realpath(stage.live))
        )
        stage.observed.facts["calls"] = str(len(points))

        size: Optional[int] = None
        if stage.settings.short:
            size = _SHORT_SAMPLE
        elif stage.place.name not in stage.settings.every_kill_on:
            size = _JVM_SAMPLE if stage.place.poll_s > 1 else _SAMPLE
        for (number, what, _), when in sampled(points, size, stage.settings.seed):
            point = f"{when} call {number} ({what})"
            for _ in range(_TRIES):
                _copy(snapshot, stage.local)
                kill = self._kill(stage, number, point, when, clean)
                if kill.code == KILLED:
                    break
            stage.observed.kills.append(kill)
        stage.observed.facts["kills"] = str(len(stage.observed.kills))

    def _kill(self, stage: Stage, number: int, point: str, when: str, clean: Counter[str]) -> Kill:
        record = stage.folder / "killed.jsonl"
        wrap = [*_interposed(stage, record)[:-1], "--kill", when, "--at", str(number), "--"]
        snapshot = look_once(stage.live)
        stage.start_monitor(wrap=wrap)
        code: Optional[int] = None
        with contextlib.suppress(Failed):
            code = stage.runs.monitor.wait(_INSTALLED_S + 2 * stage.poll_s + stage.place.install_s)
        killed = look_once(stage.live)
        stage.runs.stop()
        if code != KILLED:
            log = stage.observed.runs.pop().log
            return Kill(point, code, snapshot, killed, None, (), log)
        stage.start_monitor()
        left: tuple[str, ...] = ()
        with contextlib.suppress(Failed):
            wait_for(
                lambda: self._live(stage) == self.after.label or not stage.runs.monitor.running,
                "the release after a restart",
                _INSTALLED_S + 2 * stage.poll_s + stage.place.install_s,
            )
        with contextlib.suppress(Failed):
            wait_for(
                lambda: not (listing(stage.local) - clean) or not stage.runs.monitor.running,
                "the leftovers to be gone",
                _CLEANED_S + 2 * stage.poll_s,
            )
        left = tuple(sorted((listing(stage.local) - clean).elements()))
        restarted = look_once(stage.live)
        stage.runs.stop(term=True)
        log = stage.observed.runs[-1].log
        # ``keeps_running`` must not judge the run that was killed.
        del stage.observed.runs[-2]
        return Kill(point, code, snapshot, killed, restarted, left, log)

    @staticmethod
    def _live(stage: Stage) -> str:
        return name_of(look_once(stage.live), stage.observed.known)


def _interposed(stage: Stage, record: Path) -> list[str]:
    program = [sys.executable, "-S", "-E", interposer.__file__]
    return [*program, "--under", str(stage.local), "--record", str(record), "--"]


def _copy(source: Path, target: Path) -> None:
    """Replace ``target`` by a copy of ``source`` that keeps times, modes and links."""
    if target.exists():
        shutil.rmtree(target)
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


class KillFirstInstall(KillAnywhere):
    name = "kill-in-first-install"
    title = (
        "The same without a live directory at the start: after a kill there is none or a whole "
        "one. A restart finishes the work."
    )
    loss = "A crash while the first model arrives leaves something that must be removed by hand."

    def prepare(self, stage: Stage) -> None:
        super().prepare(stage)
        shutil.rmtree(stage.live)

    def begin(self, stage: Stage) -> Optional[int]:
        stage.know(self.before)
        return None


SCENARIOS: tuple[type[Scenario], ...] = (KillAnywhere, KillFirstInstall)
