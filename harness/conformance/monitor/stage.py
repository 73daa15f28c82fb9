"""The stage of one scenario on one remote: folders, the monitor, the watcher.

A scenario acts on it (publish, start, break) and waits on it; what happens is recorded in
``observed`` for the judge. Nothing here decides whether a monitor is right: a wait that is not
met only ends the act and is recorded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, NoReturn, Optional

from harness.support.errors import Failed
from harness.support.live_directory import TIME_FILE
from harness.support.waits import wait_for

from . import controls
from .command import command_line
from .judge import name_of
from .observed import Observed, Publication
from .places.base import Folder, Place
from .releases import DONEFILE_NAME, MODEL_NAME, Release
from .runs import Runs
from .settings import Settings
from .watch import Watcher

LIVE_NAME = "uci_housing_model"
TMP_NAME = "_tmp"
# How many bytes of a tarball's end are sought: enough that nothing else has them.
_TAIL = 64
# How long after the files of a release its time file is waited for (seconds).
_MOVES_S = 1.0


class NotMet(Exception):
    """A wait of the scenario was not met: the act ends here and what was observed is judged."""


def write_first(release: Release, folder: Path) -> None:
    """Write a model and its time file into a folder, as a launcher left them a minute ago.

    Whether a server reloads for a swap within the second of its start depends on chance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    release.write_to(folder)
    time_file = folder / TIME_FILE
    time_file.touch()
    started = time.time() - 60
    os.utime(time_file, (started, started))


class Stage:
    """Everything of one scenario on one remote, below ``folder``.

    ``releases``: the trained ones, 0 being the model the server started with.
    """

    def __init__(
        self,
        place: Place,
        remote: Folder,
        folder: Path,
        releases: Sequence[Release],
        settings: Settings,
    ) -> None:
        self.place = place
        self.remote = remote
        self.folder = folder
        self.releases = list(releases)
        self.settings = settings
        self.observed = Observed()
        self.runs = Runs(folder, self.observed, settings.environment)
        self.local = folder / "server_path"
        self.unpacked = releases[0].top
        self.options: dict[str, str] = {}
        self.left_out: set[str] = set()
        self.prefix: list[str] = []
        self._watcher: Optional[Watcher] = None
        self._second_before: Optional[int] = None
        self._before_pull = 0
        self._pull_end = b""
        self._look_through: Callable[[Path], Path] = lambda path: path

    def set_secret(self, secret: str) -> None:
        """Note a secret that the monitor is given and must not write out."""
        self.observed.facts["secret"] = secret

    def set_environment(self, name: str, value: str) -> None:
        """Set a variable for each run of the monitor from now on."""
        self.runs.added[name] = value

    # --- the live side -------------------------------------------------------------------

    @property
    def live(self) -> Path:
        """The live directory, as the monitor names it."""
        return self.local / LIVE_NAME

    @property
    def tmp(self) -> Path:
        """Where the monitor is told to put what it pulls."""
        return self.local / TMP_NAME

    def seen(self, path: Path) -> Path:
        """``path`` as the suite reaches it (a scenario may run the monitor in a namespace)."""
        return self._look_through(path)

    def set_namespace(self, prefix: Sequence[str], look_through: Callable[[Path], Path]) -> None:
        """Start the monitor with ``prefix``; see its paths through ``look_through``."""
        self.prefix = list(prefix)
        self._look_through = look_through

    def install(self, release: Release) -> None:
        """Puts the first model into place, time file included, as the launcher leaves it."""
        write_first(release, self.seen(self.live))
        self.know(release)

    def know(self, release: Release) -> None:
        """Tells the judge about a release (once)."""
        if all(known.label != release.label for known in self.observed.known):
            self.observed.known.append(release.known)

    def watch(self) -> None:
        """Starts to look at the live directory."""
        hidden = frozenset(
            path for release in self.observed.known for path in release.files if path[0] == "."
        )
        self._watcher = Watcher(self.seen(self.live), hidden)
        self.observed.looks = self._watcher.looks
        self._watcher.start()
        self._second_before = self._second

    def unwatch(self) -> None:
        """Stop looking, before a scenario moves the live directory itself."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    @property
    def now_live(self) -> str:
        """What is live, as the watcher last saw it."""
        assert self._watcher is not None
        return name_of(self._watcher.last, self.observed.known)

    def was_live(self, release: Release) -> bool:
        """Whether the watcher saw ``release`` live, now or earlier."""
        known = self.observed.known
        return any(name_of(look.content, known) == release.label for look in self.observed.looks)

    @property
    def _second(self) -> Optional[int]:
        """The time file's second, as the watcher last saw it; None without a watcher."""
        content = self._watcher.last if self._watcher is not None else None
        return content.second if content else None

    # --- publishing ----------------------------------------------------------------------

    def upload(self, release: Release, second: Optional[int] = None) -> None:
        """The tarball alone."""
        self.know(release)
        self.remote.put(MODEL_NAME, release.tarball, second=second)
        self.observed.published.append(Publication(time.monotonic(), release.label, False))

    def announce(
        self, release: Release, donefile: Optional[bytes] = None, second: Optional[int] = None
    ) -> None:
        """The donefile alone: the release's manifest, or any other bytes."""
        self.know(release)
        data = release.donefile() if donefile is None else donefile
        # The scenario may not have waited for an earlier release, which has moved the time file.
        if self._watcher is not None:
            self._second_before = self._second
        self.remote.put(DONEFILE_NAME, data, second=second)
        self.observed.published.append(Publication(time.monotonic(), release.label, True))

    def publish(
        self, release: Release, donefile: Optional[bytes] = None, second: Optional[int] = None
    ) -> None:
        """Tarball, then donefile."""
        self.upload(release)
        self.announce(release, donefile, second)

    # --- the monitor ---------------------------------------------------------------------

    @property
    def all_options(self) -> dict[str, str]:
        """Upstream's options for this stage.

        ``self.options`` replace or add; ``self.left_out`` are not given.
        """
        options = {
            **self.remote.options,
            "remote_model_name": MODEL_NAME,
            "remote_donefile_name": DONEFILE_NAME,
            "local_path": str(self.local),
            "local_model_name": LIVE_NAME,
            "local_timestamp_file": TIME_FILE,
            "local_tmp_path": TMP_NAME,
            # As upstream's takes it: a whole number has no point.
            "interval": f"{self.interval:g}",
            "unpacked_filename": self.unpacked,
        }
        options.update(self.options)
        return {name: value for name, value in options.items() if name not in self.left_out}

    @property
    def argv(self) -> list[str]:
        """The monitor's command line for this stage."""
        return self.prefix + command_line(self.settings.command, self.all_options)

    def start_monitor(self, wrap: Sequence[str] = ()) -> None:
        """Starts the monitor (again), by the command ``wrap`` if given."""
        self.seen(self.local).mkdir(parents=True, exist_ok=True)
        self.runs.start([*wrap, *self.argv])

    def alive(self) -> None:
        """Raises ``NotMet`` when the monitor has ended by itself."""
        if not self.runs.alive:
            self._give_up("the monitor ended by itself")

    @property
    def interval(self) -> float:
        """The monitor's polling interval here, in seconds."""
        return max(self.settings.interval, self.place.interval_s)

    def ask(self, way: str, *, token: str = "", release: str = "", method: str = "POST") -> str:
        """Ask the monitor by one way of a control. End the act if the request fails.

        Args:
            way: A signal, an address or a command.
            token: The bearer token of a request.
            release: The number of the release that a command names.
            method: The method of a request.

        Returns:
            The result, such as the status of the answer.
        """
        options = {**self.all_options, "release": release}
        try:
            if controls.is_signal(way):
                self.runs.monitor.signal(signal.Signals[way])
                return "sent"
            if controls.is_address(way):
                return str(controls.request(method, way, options, token))
            log = self.folder / "control.log"
            controls.run(way, options, self.runs.environment, log)
            return "done"
        except Failed as failed:
            self._give_up(str(failed))

    def allow(self, release: Release) -> None:
        """Note that from now on ``release`` may be live."""
        self.observed.allowed[release.label] = time.monotonic()

    # --- waiting -------------------------------------------------------------------------

    @property
    def poll_s(self) -> float:
        """How long one poll may take here, interval included."""
        return self.interval + self.place.poll_s

    def expect_live(
        self,
        release: Release,
        within: Optional[float] = None,
        while_waiting: Optional[Callable[[], None]] = None,
    ) -> None:
        """Wait until ``release`` is live; end the act if it is not in time.

        ``while_waiting`` is called repeatedly meanwhile.
        """

        def is_live() -> bool:
            if while_waiting is not None:
                while_waiting()
            assert self._watcher is not None
            content = self._watcher.last
            if name_of(content, self.observed.known) == release.label:
                return True
            # An earlier release may have moved the time file meanwhile.
            self._second_before = content.second if content else self._second_before
            return False

        limit = (self.settings.patience if within is None else within) + 2 * self.poll_s
        limit += self.place.install_s
        try:
            wait_for(
                is_live,
                f"{release.label} to be live",
                limit,
                every_s=0.01,
                alive=self.alive,
                last_seen=lambda: self.now_live,
            )
        except Failed as failed:
            self._give_up(str(failed))
        self._let_time_file_move()

    def _let_time_file_move(self) -> None:
        """Wait until the time file moves, so that the scenario does not end the monitor before.

        A monitor that copies into the live directory moves the time file after the files. The judge
        decides whether the time file had to move.
        """
        with contextlib.suppress(Failed):
            wait_for(
                lambda: self._second != self._second_before,
                "the time file to move",
                _MOVES_S,
                every_s=0.01,
            )
        self._second_before = self._second

    def expect(
        self, check: Callable[[], object], what: str, within: Optional[float] = None
    ) -> None:
        """Waits for any condition; ends the act when it does not come in time."""
        limit = (self.settings.patience if within is None else within) + 2 * self.poll_s
        try:
            wait_for(check, what, limit, every_s=0.01, alive=self.alive)
        except Failed as failed:
            self._give_up(str(failed))

    def let_polls_pass(self, count: int = 3) -> None:
        """Watch until ``count`` polls were seen on the wire, to show that nothing happens.

        A poll is traffic, and then half an interval without any.
        """
        for _ in range(count):
            before = self.place.traffic()
            with contextlib.suppress(Failed):
                # A monitor that backs off, or waits for something else, may well not poll.
                wait_for(
                    lambda before=before: self.place.traffic() > before,  # type: ignore[misc]
                    "a poll",
                    5 + self.poll_s,
                    every_s=0.02,
                    alive=self.alive,
                )
            self._let_traffic_end()

    def _let_traffic_end(self) -> None:
        seen, since = self.place.traffic(), time.monotonic()

        def quiet() -> bool:
            nonlocal seen, since
            if self.place.traffic() != seen:
                seen, since = self.place.traffic(), time.monotonic()
            return time.monotonic() - since >= self.interval / 2

        with contextlib.suppress(Failed):
            wait_for(quiet, "the end of a poll", 10, every_s=0.02, alive=self.alive)

    def let_it_try(self, count: int = 3) -> None:
        """Watch for the time of ``count`` polls, while the remote is down and shows no polls.

        The time counts from the monitor's first output.
        """
        with contextlib.suppress(Failed):
            said = self.runs.monitor.log.stat
            wait_for(lambda: said().st_size, "a first line", 10, alive=self.alive)
        self.let_time_pass(count * self.poll_s + 1.0, self.alive)

    def watch_pull(self, release: Release) -> None:
        """Let ``expect_pull`` wait for this release.

        It seeks the end of the tarball on the wire. A count of bytes would not do, because many
        polls of the donefile also bring many bytes. For an empty tarball any traffic must do.
        """
        self._before_pull = self.place.traffic()
        self._pull_end = release.tarball[-_TAIL:]
        self.place.seek(self._pull_end)

    def expect_pull(self, within: Optional[float] = None) -> None:
        """Waits until the release of ``watch_pull`` has come down to its end."""

        def pulled() -> bool:
            if self._pull_end:
                return self.place.found()
            return self.place.traffic() > self._before_pull

        self.expect(pulled, "the tarball to be pulled", within)

    def let_time_pass(self, seconds: float, alive: Optional[Callable[[], None]] = None) -> None:
        """Watch for so many seconds. ``alive`` may end the act, if the monitor has ended."""
        until = time.monotonic() + seconds
        wait_for(
            lambda: time.monotonic() >= until,
            f"{seconds:g} s to pass",
            seconds + 5,
            every_s=0.05,
            alive=alive,
        )

    def _give_up(self, why: str) -> NoReturn:
        self.observed.unmet.append(why)
        raise NotMet(why)

    # --- the end -------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the monitor and the watcher; the observation is complete then."""
        self.runs.stop()
        self.unwatch()
        self.observed.end = time.monotonic()
