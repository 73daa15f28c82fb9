"""Starts, stops, and many releases in a row."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from harness.support.errors import Failed
from harness.support.process import Process
from harness.support.waits import wait_for

from .. import judge
from ..releases import DONEFILE_NAME, Release
from ..stage import Stage
from .base import Scenario

_SHORT_COUNT = 60
# The bytes of a pull that is stopped in its middle: no buffer between two programs holds the rest.
_PULL_SIZE = 3 << 20
# How many bytes of a tarball are sought: enough that nothing else has them.
_BEGINNING = 64
# How much may grow. Allocators keep some memory; a leak of one release is 16 KiB or more.
_MEMORY_KIB = 8 * 1024
_FILES = 3
_DESCRIPTORS = 3


class RestartRemembers(Scenario):
    name = "restart-remembers"
    title = "A restart pulls nothing that is already live, and misses nothing announced meanwhile."
    loss = "Every restart makes the server reload, or a release published meanwhile is lost."
    claims = (
        judge.settles_whole,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.swaps_at_most(2),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        stage.let_polls_pass(1)
        stage.runs.stop(term=True)
        stage.start_monitor()
        stage.let_polls_pass(2)
        stage.runs.stop(term=True)
        stage.publish(stage.releases[2])
        stage.start_monitor()
        stage.expect_live(stage.releases[2])
        stage.let_polls_pass(1)


class SecondMonitor(Scenario):
    name = "second-monitor"
    title = "A second monitor started by mistake on the same directory makes no second swap."
    loss = "Every release is loaded twice, or two monitors write into one model at a time."
    claims = (
        judge.settles_whole,
        judge.each_was_live("release 1", "release 2"),
        judge.ends_with("release 2"),
        judge.swaps_at_most(2),
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1])
        stage.start_monitor()
        stage.expect_live(stage.releases[1])
        with stage.runs.second(stage.argv) as second:
            _let_it_try(stage, second)
            later = stage.remote.second(DONEFILE_NAME) + 120
            stage.publish(stage.releases[2], second=later)
            stage.expect_live(stage.releases[2])
            stage.let_polls_pass(3)


def _let_it_try(stage: Stage, second: Process) -> None:
    """Let the second monitor end or wait for its turn: both are right."""
    with contextlib.suppress(Failed):
        said = second.log.stat
        wait_for(lambda: said().st_size or not second.running, "its first line", 20)
    with contextlib.suppress(Failed):
        second.wait(3 * stage.poll_s)


class _Stillness:
    """Says whether the threads of a program were asleep at each of the last looks."""

    _LOOKS = 20

    def __init__(self, program: Process) -> None:
        self._program = program
        self._asleep = 0

    def __call__(self) -> bool:
        paths = [path for pid in self._program.pids for path in Path(f"/proc/{pid}/task").iterdir()]
        states = {(path / "stat").read_text().rpartition(")")[2].split()[0] for path in paths}
        self._asleep = self._asleep + 1 if states == {"S"} else 0
        return self._asleep >= self._LOOKS


class SecondMonitorInPull(Scenario):
    name = "second-monitor-in-a-pull"
    title = "A second monitor started by mistake during a pull leaves the first one's work alone."
    loss = "A mistaken start throws away hours of a large pull, or makes it fail."
    claims = (
        judge.settles_whole,
        judge.ends_with("release 1"),
        judge.goes_on_with_its_pull,
        judge.swaps_at_most(1),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        release = stage.releases[1].padded(_PULL_SIZE, stage.settings.seed)
        stage.publish(release)
        stage.place.silent_after(stage.place.stop_at)
        stage.start_monitor()
        stage.expect(lambda: stage.place.held() > 0, "a pull to be in the middle")
        # Wait until the monitor has written what it got: only then can the second one damage it.
        with contextlib.suppress(Failed):
            still = _Stillness(stage.runs.monitor)
            wait_for(
                still, "the monitor to wait for the rest", 2, every_s=0.01, retry_on=(OSError,)
            )
        # Pause the monitor, so that none of its time-outs ends the pull here.
        stage.runs.monitor.pause()
        # Bytes cannot be counted: on WebHDFS those of one pull pass the gates twice.
        stage.place.seek(release.tarball[:_BEGINNING])
        with stage.runs.second(stage.argv) as second:
            _let_it_try(stage, second)
            before = stage.place.traffic()
            stage.place.go_on()
            # The monitor resumes when it can read again, or else it would only see its time-out.
            stage.expect(lambda: stage.place.traffic() > before, "the pull to go on")
            stage.runs.monitor.resume()
            stage.expect_live(release, stage.settings.recovery)
        again = "yes" if stage.place.found() else "no"
        stage.observed.facts["beginning came again"] = again


class StopsAtOnce(Scenario):
    name = "stops-in-a-pull"
    title = "SIGTERM ends the monitor within a second also in the middle of a pull."
    loss = "Every shutdown of a machine or a pod waits until the monitor is killed."
    claims = (
        judge.always_one_whole_release,
        judge.ends_with("release 0"),
        judge.stopped_within_1_s,
    )

    def act(self, stage: Stage) -> None:
        stage.publish(stage.releases[1].padded(_PULL_SIZE, stage.settings.seed))
        stage.place.silent_after(stage.place.stop_at)
        stage.start_monitor()
        stage.expect(lambda: stage.place.held() > 0, "a pull to be in the middle")
        stage.runs.stop(term=True)
        stage.runs.measure_bare_stop()


class WholeAtEveryInstant(Scenario):
    name = "whole-at-every-instant"
    title = "In thousands of looks at the live directory, each shows one whole release."
    loss = "A server that loads at the wrong moment aborts on a half-copied model."
    claims = (judge.always_one_whole_release, judge.ends_with("release 5"))

    def prepare(self, stage: Stage) -> None:
        stage.install(_many_files(stage.releases[0]))

    def act(self, stage: Stage) -> None:
        stage.publish(_many_files(stage.releases[1]))
        stage.start_monitor()
        stage.expect_live(_many_files(stage.releases[1]))
        second = stage.remote.second(DONEFILE_NAME)
        for release in stage.releases[2:6]:
            second += 120
            large = _many_files(release)
            stage.publish(large, second=second)
            stage.expect_live(large)


def _many_files(release: Release) -> Release:
    """Return the release with many files that differ in each release, as a sharded model has."""
    shard = b"%d " % release.number * 40_000
    return release.with_files({f"shard-{number:02}.bin": shard for number in range(24)})


class ManyReleases(Scenario):
    name = "many-releases"
    length = 60.0
    title = (
        "Many releases in a row leave nothing behind: a thousand, unless fewer are asked for or "
        "each takes long (hdfs: 25, fsspec: 100)."
    )
    loss = (
        "After some weeks the monitor has filled the disk or the memory, and the server ends, too."
    )
    claims = (
        judge.settles_whole,
        judge.all_of_many_were_live,
        judge.server_reloads_every_swap,
        judge.second_never_goes_back,
        judge.flat("files", _FILES),
        judge.flat("descriptors", _DESCRIPTORS),
        judge.flat("memory_kib", _MEMORY_KIB),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        count = stage.settings.count
        if stage.settings.short:
            count = min(count, _SHORT_COUNT)
        if stage.place.most_releases is not None:
            count = min(count, stage.place.most_releases)
        figures = stage.observed.figures
        for name in ("files", "descriptors", "memory_kib"):
            figures[name] = []
        second = 0
        trained = stage.releases[1:]
        for number in range(count):
            # The trained releases take turns, each time with a new number.
            release = trained[number % len(trained)].numbered(number + 1)
            live = trained[number % len(trained)]
            stage.publish(release.numbered(number + 1, live.label), second=second or None)
            second = (second or stage.remote.second(DONEFILE_NAME)) + 60
            if number == 0:
                stage.start_monitor()
            stage.expect_live(live)
            stage.observed.facts["releases"] = str(number + 1)
            _measure(stage, figures)
        stage.observed.facts["releases wanted"] = str(count)
        for name, series in figures.items():
            if series:
                middle = series[len(series) // 2]
                stage.observed.facts[f"{name} at half, at end"] = f"{middle:g}, {series[-1]:g}"


def _measure(stage: Stage, figures: dict[str, list[float]]) -> None:
    """Measure the files below the local path, and the monitor's descriptors and memory."""

    def files() -> int:
        return sum(len(names) for _, _, names in os.walk(stage.seen(stage.local)))

    # Right after a swap the monitor still removes the old release.
    with contextlib.suppress(Failed):
        least = min(figures["files"], default=float("inf"))
        wait_for(lambda: files() <= least, "the old files to go", 1)
    figures["files"].append(files())
    with contextlib.suppress(OSError, IndexError, ValueError):
        own = stage.runs.monitor.pids[0]
        figures["descriptors"].append(len(os.listdir(f"/proc/{own}/fd")))
        status = Path(f"/proc/{own}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        figures["memory_kib"].append(float(line.split()[1]))


SCENARIOS: tuple[type[Scenario], ...] = (
    RestartRemembers,
    SecondMonitor,
    SecondMonitorInPull,
    StopsAtOnce,
    WholeAtEveryInstant,
    ManyReleases,
)
