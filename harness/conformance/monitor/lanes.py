"""Runs many pairs at a time, each undisturbed by the others.

A lane is a process with one remote of its own. It runs one pair at a time. Scenarios mostly wait,
so two cores have room for eight lanes. A lane without more work on its remote ends it and shares
the work of another remote. Long scenarios begin first, so that none is left for the end.
"""

from __future__ import annotations

import ctypes
import multiprocessing

# Starting a process imports these two. Two lanes start at the same time, and in CPython 3.9.2 one
# thread can get a module that another is still importing.
import multiprocessing.popen_spawn_posix
import multiprocessing.resource_tracker
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Callable, Optional

from harness.checker.outcome import Outcome
from harness.support import guard
from harness.support.errors import HarnessError

from .judge import one_claim
from .places import PLACES
from .places.base import Place
from .releases import trained_releases
from .results import Result
from .scenarios import all_scenarios
from .settings import Settings
from .suite import SUITE_FAILED, Done, Stock, run_one


@dataclass(frozen=True)
class Task:
    """One pair to run for one of the monitors.

    ``length`` is its rough duration, as a multiple of a short pair's.
    """

    # The monitor's place in the list of monitors.
    monitor: int
    # The name of the remote.
    place: str
    # The name of the scenario.
    scenario: str
    length: float = 1.0

    @property
    def id(self) -> str:
        """Return the case's id."""
        return f"{self.place}/{self.scenario}"

    def without(self, why: str) -> Done:
        """Return the result of a pair that was not run."""
        verdict = one_claim("the scenario runs", Outcome.UNKNOWN, why)
        return Done(Result(self.scenario, self.place, verdict, 0.0))


@dataclass(frozen=True)
class Work:
    """What a lane needs to know: where it may write, and how each monitor is run."""

    # The run's folder.
    folder: Path
    # Where trained releases are kept.
    cache: Path
    # How each monitor is run.
    settings: Sequence[Settings]


class Queue:
    """The tasks that are left, by remote; any lane may ask."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._lock = threading.Lock()
        self.closed = False
        self._left: dict[str, deque[Task]] = {}
        self._lanes: dict[str, int] = {}
        # The longest first; of equals the first one given.
        for task in sorted(tasks, key=lambda task: task.length, reverse=True):
            self._left.setdefault(task.place, deque()).append(task)

    def take(self, place: Optional[str]) -> Optional[Task]:
        """Return the next task for a lane that has ``place`` up, or None if no work is left.

        It is a task of that remote if there is one, else of the remote with the most work a lane.
        """
        with self._lock:
            if place is not None and self._left.get(place):
                return self._left[place].popleft()
            if place is not None:
                self._lanes[place] -= 1
            chosen = most_work(self._left, self._lanes)
            if chosen is None:
                return None
            self._lanes[chosen] = self._lanes.get(chosen, 0) + 1
            return self._left[chosen].popleft()

    def close(self) -> None:
        """Give no lane another task."""
        with self._lock:
            self._left.clear()
            self.closed = True

    def drain(self, place: str) -> list[Task]:
        """Return and remove all tasks that are left of a remote that does not come up."""
        with self._lock:
            return list(self._left.pop(place, ()))


def most_work(left: Mapping[str, Collection[Task]], lanes: Mapping[str, int]) -> Optional[str]:
    """Return the remote that has the most work a lane if it gets another lane."""
    shares = {
        place: sum(task.length for task in tasks) / (lanes.get(place, 0) + 1)
        for place, tasks in left.items()
        if tasks
    }
    return max(shares, key=lambda place: shares[place]) if shares else None


def run_all(
    tasks: Sequence[Task], work: Work, jobs: int, tell: Callable[[Task, Done], None]
) -> None:
    """Run all tasks in ``jobs`` lanes; ``tell`` gets each result as it comes, one at a time."""
    queue = Queue(tasks)
    telling = threading.Lock()
    processes: list[BaseProcess] = []

    def done(task: Task, result: Done) -> None:
        with telling:
            tell(task, result)

    def lane(number: int) -> None:
        place: Optional[str] = None
        link: Optional[Connection] = None
        while (task := queue.take(place)) is not None:
            place = task.place
            if link is None:
                link, process = _started(work, number)
                processes.append(process)
            try:
                link.send(task)
                answer = link.recv()
            except (EOFError, OSError):
                link = None
                if queue.closed:
                    return
                done(task, task.without("the process that ran it died"))
                continue
            if isinstance(answer, Done):
                done(task, answer)
                continue
            why = f"not run: the remote did not come up: {answer}"
            for other in [task, *queue.drain(place)]:
                done(other, other.without(why))
        if link is not None:
            link.close()

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        lanes = [pool.submit(lane, number) for number in range(min(jobs, len(tasks)))]
        try:
            for one in lanes:
                one.result()
            for process in processes:
                process.join(60)
        finally:
            # After an interrupt a thread whose lane was killed would ask for the next task.
            queue.close()
            for process in processes:
                # Everything that the lane has started ends with it.
                process.kill()


def _started(work: Work, number: int) -> tuple[Connection, BaseProcess]:
    # Not forked: a fork copies locks that other threads of this process may hold.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, number, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _serve(link: Connection, work: Work, number: int, parent: int) -> None:
    """The lane's process: tasks come in, ``Done`` or the reason why the remote is not up go out."""
    # Ctrl-C reaches the whole foreground group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Otherwise a killed parent would leave a scenario running, perhaps for an hour.
    ctypes.CDLL(None).prctl(guard.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    releases = trained_releases(work.cache)
    place: Optional[Place] = None
    try:
        while True:
            try:
                task: Task = link.recv()
            except EOFError:
                return
            if place is not None and place.name != task.place:
                place.stop()
                place = None
            if place is None:
                try:
                    place = PLACES[task.place](work.folder / f"{task.place}-{number}")
                    place.start()
                except (HarnessError, OSError) as error:
                    link.send(str(error))
                    place = None
                    continue
            scenario = next(s for s in all_scenarios() if s.name == task.scenario)
            folder = work.folder / str(task.monitor) / f"{task.scenario}-{task.place}"
            stock = Stock(releases, work.settings[task.monitor])
            done = run_one(scenario, place, stock, folder, work.folder)
            if any(reason.startswith(SUITE_FAILED) for reason in done.result.verdict.reasons):
                # The remote may be the cause, so the next scenario gets a new one.
                place.stop()
                place = None
            link.send(done)
    except Exception:
        traceback.print_exc()
    finally:
        if place is not None:
            place.stop()
