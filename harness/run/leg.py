"""One remote's part of a run: remote, producer, monitor, server and clients, in order.

    remote up → producer publishes release 1 → monitor --once → server → monitor → clients
    → the steps of a scenario (harness.run.steps). Usually the producer publishes the next release
      when every client got the last release, or when the bound of the last release is over
    → clients, monitor, server, producer, remote down; no process may be left

If a release is not served in time, the leg records this and goes on. A part that ends by itself
ends the leg. All processes of the leg run under a guard. Everything that happens goes into the
history. ``harness.checker.verdict`` judges it afterwards.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Callable, Optional

from harness.checker.history import Event, History
from harness.remotes.base import Remote
from harness.serving.base import Serving
from harness.support.errors import Failed
from harness.support.process import Process, marked
from harness.support.waits import tail, wait_for

from .equipment import Equipment
from .first_release import install_by_hand, install_once, installed_before
from .leg_settings import LegSettings
from .publisher import Publisher
from .server_side import ServerSide

Say = Callable[[str], None]


class Leg:
    """A running leg. ``start`` starts all parts, ``publish`` makes a release and waits.

    Args:
        remote: Is not started yet.
        serving: Is not started yet. Its live directory is ``settings.model`` in its own folder.
        folder: The folder for all other files of the leg.
        history: Receives all events.
        settings: How the leg is run.
        mark: A text in the environment of every process of the leg, also of ``remote`` and
            ``serving``. With it ``stop`` finds processes that are left.
        say: Called with a line for each step.
        equipment: Disks and clocks that faults need from the start of the leg.
    """

    def __init__(
        self,
        remote: Remote,
        serving: Serving,
        *,
        folder: Path,
        history: History,
        settings: LegSettings,
        mark: str,
        say: Say = lambda _: None,
        equipment: Optional[Equipment] = None,
    ) -> None:
        self.equipment = equipment or Equipment()
        self.remote = remote
        self.folder = folder
        self.history = history
        self.settings = settings
        self.say = say
        self.mark = mark
        self.publisher = Publisher(
            remote,
            folder=folder,
            history=history,
            settings=settings,
            mark=mark,
            say=say,
            equipment=self.equipment,
        )
        self.side = ServerSide(
            remote,
            serving,
            folder=folder,
            history=history,
            settings=settings,
            mark=mark,
            equipment=self.equipment,
        )
        self._stack = contextlib.ExitStack()
        # The parts outside the server side that a fault has ended on purpose.
        self._down: set[str] = set()
        self._publishes = False

    @property
    def published(self) -> list[Event]:
        """The releases so far, each with its manifest."""
        return self.publisher.published

    @property
    def producer(self) -> Process:
        """The producer, which may be down."""
        return self.publisher.producer

    def start(self) -> None:
        """Start all parts, and wait until release 1 is served to the clients.

        Raises:
            Failed: A part does not come up, or the first release is not installed.
        """
        name = self.remote.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack.callback(self.remote.stop)
        self.remote.start()
        self.remote.ready()
        self.say(f"{name}: up at {self.remote.url}")
        if self.settings.prepared:
            self.publisher.prepare()
        self.producer.start()
        self._stack.callback(self.producer.stop)
        self._publishes = True
        self.side.record_settings(self.producer.argv)
        self._stack.callback(self.side.stop)
        self.side.observe()
        self.announce()
        self._install_first()
        self.side.start_server()
        self.say(f"{name}: server ready on port {self.side.serving.port}")
        self.side.start_monitor()
        self.side.start_clients(self.published[-1], self.publisher.client_config)
        self.wait_until_served(self.published[-1])

    def _install_first(self) -> None:
        """Put the first release into the live directory, or record what a running server has."""
        name, live_dir = self.remote.name, self.side.live_dir
        first = self.published[0]
        release = first["release"]
        if self.settings.server_runs:
            before = installed_before(live_dir, first, self.folder / "feed.json")
            self.history.record("published", remote=name, **before)
            return
        if self.settings.monitor_cmd:
            install_by_hand(self.publisher.model(0, release), live_dir)
            self.say(f"{name}: release {release} installed by hand")
            return
        once = self.side.new_monitor(self.folder / "monitor-once.log", "--once")
        why = install_once(once, live_dir, self.settings.bound_s)
        if why:
            # A dead remote is not the monitor's fault.
            self._check()
            self.history.record("install_failed", remote=name, release=release, why=why)
            raise Failed(
                f"the monitor did not install release {release}, so no server can be started: "
                f"{why}\n--- last lines of {once.log}\n{tail(once.log)}"
            )
        self.say(f"{name}: release 1 installed with --once")

    def publish(self) -> Event:
        """Publish a release, wait until it is served or its bound is over; return its event."""
        event = self.announce()
        self.wait_until_served(event)
        return event

    def announce(self, bad: str = "") -> Event:
        """Publish a release and return its event, without waiting for the monitor.

        Args:
            bad: One of ``BAD_RELEASES``; "" for a good release.
        """
        return self.publisher.announce(bad, self._check)

    def wait(self, for_s: float) -> None:
        """Let the leg go on for some seconds. Raises ``Failed`` if a part ends by itself."""
        until = time.monotonic() + for_s
        wait_for(
            lambda: time.monotonic() >= until,
            f"{for_s:g} s",
            for_s + 1,
            every_s=min(0.05, for_s),
            alive=self._check,
        )

    def _wait_until_answered(self) -> None:
        """Wait until a request of each client that is sent from now on is answered.

        A gRPC client that finds no server waits longer before each new try to connect.
        """
        since = time.monotonic()
        # Later than that, the failures of a client are its own.
        with contextlib.suppress(Failed):
            wait_for(
                lambda: self.side.all_answered(since),
                "an answer to each client",
                self.settings.client_start_s,
            )

    def rollback(self) -> None:
        """Go back to the release before, with the command of our monitor; wait until it serves.

        Raises:
            BadInput: The monitor is not ours.
            Failed: The command failed.
        """
        begin = time.monotonic()
        release = self.side.rollback(self.published)
        self.say(f"{self.remote.name}: rolled back to release {release['release']}")
        self.wait_until_served({**release, "t_begin": begin, "t_end": time.monotonic()})

    def wait_until_served(self, release: Event) -> bool:
        """Wait until this release is served to every client, or its bound is over.

        Returns:
            Whether the release was served to every client in time. If not, the history says so.

        Raises:
            Failed: A part ended by itself, so the leg cannot go on.
        """
        name = self.remote.name
        s = self.settings
        # A client's bound begins with its first request. The last request may itself end late.
        limit_s = s.client_start_s + s.bound_s + 2 * s.latency_bound_s
        self.side.answers.expect(release["expected"], release["t_begin"])
        wait_for(
            lambda: not self.side.waiting_for(release),
            f"every client of {name} to ask until the bound of release {release['release']} "
            "is over",
            limit_s,
            alive=self._check,
            last_seen=lambda: f"not by {self.side.waiting_for(release)}",
            log=self.side.monitor_log,
        )
        lacking = self.side.lacking()
        if not lacking:
            self.say(f"{name}: release {release['release']} served to all clients")
            self.let_each_client_ask(s.calm_s)
            return True
        self.history.record(
            "unserved", remote=name, release=release["release"], clients=lacking, bound_s=s.bound_s
        )
        self.say(
            f"{name}: release {release['release']} NOT served to {', '.join(lacking)} "
            f"within {s.bound_s:g} s"
        )
        # Only now: the server may still serve what the monitor swapped in before it ended.
        self.side.check_monitor()
        return False

    def let_each_client_ask(self, for_s: float = 0.0) -> None:
        """Wait until every client has ended a request that it began ``for_s`` seconds from now.

        Gives up on a client that hangs.
        """
        since = time.monotonic() + for_s
        with contextlib.suppress(Failed):
            wait_for(
                lambda: self.side.all_asked(since),
                "a request of each client",
                for_s + self.settings.latency_bound_s + 2,
            )

    def finish(self) -> None:
        """Let the clients ask a little longer, to see a step back after the last release.

        Raises:
            Failed: A part ended by itself. The text has the end of its log.
        """
        self.let_each_client_ask(2 * self.settings.switch_window_s)
        self._check()
        self.side.check_monitor()

    def _check(self) -> None:
        # After its last pass the producer ends with exit code 0.
        if self._publishes and "producer" not in self._down and self.producer.returncode != 0:
            self.producer.check()
        self.remote.check()
        self.side.check()

    def goes_down(self, part: str) -> None:
        """Note that a fault is about to end a part, so that its end does not end the leg."""
        (self.side.down if part in ("monitor", "server") else self._down).add(part)

    def restart(self, part: str) -> None:
        """Start a part that a fault has ended, and wait until it is ready.

        Args:
            part: ``monitor``, ``producer``, ``server``, ``remote`` or a service of the remote.
        """
        if part in ("monitor", "server"):
            self.side.restart(part, self._wait_until_answered)
            return
        if part == "producer":
            self.producer.start()
        else:
            self.remote.start(None if part == "remote" else part)
            self.remote.ready()
        self._down.discard(part)

    def stop(self) -> None:
        """End all parts in order. Raises ``Failed`` when a process is left."""
        try:
            if self.side.clients and self.side.server_is_gone:
                # The history must show the effect on the clients.
                self.let_each_client_ask()
            self.side.stop_clients()
        finally:
            self._stack.close()
        left = marked(self.mark)
        if left:
            raise Failed(f"processes {left} of the {self.remote.name} leg are still running")
        self.say(f"{self.remote.name}: everything stopped, nothing left running")

    def __enter__(self) -> Leg:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
