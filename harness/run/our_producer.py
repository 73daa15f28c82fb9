"""Publishes the releases of one leg with our producer, one release after another.

The producer makes each release and publishes it. It can also publish releases that are there
already: prepared releases, the releases of a folder, and releases that are damaged on purpose.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Callable

from harness.checker.history import Event, History
from harness.conformance.monitor import damage, releases
from harness.remotes.base import Remote
from harness.support.process import Process
from harness.support.waits import wait_for

from .equipment import Equipment
from .leg_settings import LegSettings
from .observe import Tail
from .publisher import Publisher, Say

# Archives that no monitor may install: what a step may publish instead of a good release.
BAD_RELEASES = {
    kind.__name__: kind
    for kind in (
        damage.corrupt,
        damage.truncated,
        damage.without_trailer,
        damage.empty,
        damage.html,
        damage.traversal,
        damage.symlink_out,
        damage.hard_link,
        damage.wrong_top,
        damage.no_parameters,
        damage.empty_parameters,
    )
}


class OurProducer(Publisher):
    """Our producer, which publishes a release at each line of its standard input.

    Args:
        remote: Where the releases go.
        folder: The leg's folder. The producer's files go there.
        history: Receives the events ``publishing`` and ``published``.
        settings: The settings of the leg.
        mark: A text in the environment of the producer.
        say: Called with a line for each release.
        equipment: The private clock of the producer, if a fault needs one.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        folder: Path,
        history: History,
        settings: LegSettings,
        mark: str,
        say: Say,
        equipment: Equipment,
    ) -> None:
        super().__init__(remote, history, say)
        self._folder = folder
        # Also the folder that the producer starts in: a folder named ``producer`` in the current
        # folder hides the package of that name.
        self._work = folder / "producer"
        self._settings = settings
        self._mark = mark
        self._equipment = equipment
        self._events = Tail(folder / "producer.jsonl")

    @cached_property
    def process(self) -> Process:
        """The producer. Made at its first use, because only a started remote knows its ports."""
        self._work.mkdir(exist_ok=True)
        options = ["--remote", self._remote.url, *self._remote.producer_options, "--step"]
        options += [*self._training(), "--events", str(self._folder / "producer.jsonl")]
        return Process(
            f"the producer for {self._remote.name}",
            [sys.executable, "-m", "producer", *options],
            log=self._folder / "producer.log",
            cwd=self._work,
            env={
                **os.environ,
                **self._remote.producer_environment,
                **self._equipment.environment("producer"),
            },
            stdin=subprocess.PIPE,
            mark=self._mark,
        )

    def _training(self) -> list[str]:
        s = self._settings
        options = ["--name", s.name, "--passes", str(s.releases), "--seed", str(s.seed)]
        options += ["--table_mb", str(s.table_mb)] if s.table_mb else []
        return [*options, "--device", s.device, "--work", str(self._work)]

    @property
    def command(self) -> list[str]:
        return self.process.argv

    def start(self) -> None:
        if self._settings.prepared and not self.published:
            self._prepare()
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def check(self) -> None:
        # After its last pass the producer ends with exit code 0.
        if self.process.returncode != 0:
            self.process.check()

    def _prepare(self) -> None:
        """Make all releases in the producer's work folder; publish none of them."""
        self._work.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "producer", "--remote", f"file://{self._folder / 'prepared'}"]
        making = Process(
            f"the producer that prepares releases for {self._remote.name}",
            [*argv, *self._training(), "--interval", "0"],
            log=self._folder / "producer-prepares.log",
            cwd=self._work,
            mark=self._mark,
        )
        with making:
            if making.wait(self._settings.train_deadline_s * self._settings.releases) != 0:
                making.check()
        self._say(f"{self._remote.name}: {self._settings.releases} releases prepared")

    def announce(self, bad: str, alive: Callable[[], None]) -> Event:
        begin = time.monotonic()
        number = int(self.published[-1]["release"]) + 1 if self.published else 1
        line = ""
        if bad:
            line = str(self._damaged(bad, number))
        elif self._settings.ready:
            line = str(self._settings.ready[len(self.published)].folder)
        elif self._settings.prepared:
            line = str(self._work / "releases" / str(number))
        self._begins()
        # If the producer is gone, alive= below says why.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()
        (line,) = wait_for(
            lambda: list(self._events.new_lines()),
            f"the producer to publish release {number}",
            self._settings.train_deadline_s,
            every_s=0.01,
            alive=alive,
            log=self.process.log,
        )
        raw: dict[str, Any] = json.loads(line)
        manifest = raw["manifest"]
        if self._settings.ready:
            manifest = self._settings.ready[len(self.published)].content
        self._record(
            {
                "release": raw["release"],
                "sha256": raw["sha256"],
                "t_begin": raw["t_begin"],
                "t_end": raw["t_end"],
            },
            manifest,
            model=None if bad else self.model(len(self.published), raw["release"]),
            bad=bad,
            seconds=time.monotonic() - begin,
        )
        return self.published[-1]

    def _damaged(self, kind: str, number: int) -> Path:
        """Make a bad release of the last good one; return its folder."""
        good = [event["release"] for event in self.published if event.get("good", True)]
        made = releases.read(self._work / "releases" / str(good[-1]))
        bad = BAD_RELEASES[kind](made.numbered(number))
        folder = self._folder / "bad-releases" / str(number)
        folder.mkdir(parents=True)
        (folder / releases.MODEL_NAME).write_bytes(bad.tarball)
        (folder / releases.DONEFILE_NAME).write_bytes(bad.donefile())
        return folder

    def model(self, position: int, release: int) -> Path:
        if self._settings.ready:
            return self._settings.ready[position].model
        return self._work / "releases" / str(release) / self._settings.model

    @property
    def client_config(self) -> Path:
        ready = self._settings.ready
        return ready[0].client if ready else self._work / "client"
