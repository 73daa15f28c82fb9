"""One remote's part of a run: remote, producer, monitor, server and clients, in order.

Several servers may watch the remote. Each has a monitor and clients of its own.

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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

from harness.checker.completeness import EXPECTED_PREDICTIONS
from harness.checker.history import Event, History
from harness.remotes.base import Remote
from harness.serving.base import Serving
from harness.support.errors import Failed
from harness.support.process import marked
from harness.support.waits import tail, wait_for

from .equipment import Equipment
from .first_release import install_by_hand, install_once, installed_before
from .leg_settings import LegSettings
from .our_producer import OurProducer
from .producer_command import ProducerCommand
from .publisher import Publisher
from .server_side import ServerSide

Say = Callable[[str], None]


class Leg:
    """A running leg. ``start`` starts all parts, ``publish`` makes a release and waits.

    Args:
        remote: Is not started yet.
        servings: The servers, not started yet. The live directory of each one is
            ``settings.model`` in a folder of its own.
        folder: The folder for all other files of the leg.
        history: Receives all events.
        settings: How the leg is run.
        mark: A text in the environment of every process of the leg, also of ``remote`` and
            ``servings``. With it ``stop`` finds processes that are left.
        say: Called with a line for each step.
        equipment: Disks and clocks that faults need from the start of the leg. They are for the
            first of several servers.
    """

    def __init__(
        self,
        remote: Remote,
        servings: Sequence[Serving],
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
        self.publisher: Publisher
        own: dict[str, Any] = {
            "folder": folder,
            "history": history,
            "settings": settings,
            "mark": mark,
            "say": say,
        }
        if settings.producer_cmd:
            self.publisher = ProducerCommand(remote, **own)
        else:
            self.publisher = OurProducer(remote, **own, equipment=self.equipment)
        several = len(servings) > 1
        self.sides = [
            ServerSide(
                remote,
                serving,
                folder=folder / str(number) if several else folder,
                history=history,
                settings=settings,
                mark=mark,
                equipment=self.equipment if number == 1 else Equipment(),
                number=number if several else None,
            )
            for number, serving in enumerate(servings, 1)
        ]
        self._stack = contextlib.ExitStack()
        # The parts outside the server side that a fault has ended on purpose.
        self._down: set[str] = set()
        self._publishes = False

    @property
    def published(self) -> list[Event]:
        """The releases so far, each with its manifest."""
        return self.publisher.published

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
        self.publisher.start()
        self._stack.callback(self.publisher.stop)
        self._publishes = True
        for side in self.sides:
            side.record_settings(self.publisher.command)
            self._stack.callback(side.stop)
            side.observe()
        first = self.announce()
        for side in self.sides:
            self._install_first(side)
            side.start_server()
            self.say(f"{side.name}: server ready on port {side.serving.port}")
            side.start_monitor()
        for side in self.sides:
            side.start_clients(first, self.publisher.client_config)
        self.wait_until_served(first)

    def _install_first(self, side: ServerSide) -> None:
        """Put the first release into the live directory, or record what a running server has."""
        name, live_dir = self.remote.name, side.live_dir
        first = self.published[0]
        release = first["release"]
        if self.settings.server_runs:
            before = installed_before(live_dir, first, side.folder / "feed.json")
            side.history.record("published", remote=name, **before)
            return
        if self.settings.monitor_cmd:
            install_by_hand(self.publisher.model(0, release), live_dir)
            self.say(f"{side.name}: release {release} installed by hand")
            return
        once = side.new_monitor(side.folder / "monitor-once.log", "--once")
        why = install_once(once, live_dir, self.settings.bound_s)
        if why:
            # A dead remote is not the monitor's fault.
            self._check()
            side.history.record("install_failed", remote=name, release=release, why=why)
            raise Failed(
                f"the monitor did not install release {release}, so no server can be started: "
                f"{why}\n--- last lines of {once.log}\n{tail(once.log)}"
            )
        self.say(f"{side.name}: release {release} installed with --once")

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
        event = self.publisher.announce(bad, self._check)
        if self.publisher.ambiguous and EXPECTED_PREDICTIONS not in self.settings.unseen:
            unseen = (*self.settings.unseen, EXPECTED_PREDICTIONS)
            self.settings = replace(self.settings, unseen=unseen)
            self.say(f"{self.remote.name}: two releases predict the same")
            for side in self.sides:
                # The last settings of a leg count.
                side.settings = self.settings
                side.record_settings(self.publisher.command)
        return event

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

    def _wait_until_answered(self, side: ServerSide) -> None:
        """Wait until a request of each client of a server that is sent from now on is answered.

        A gRPC client that finds no server waits longer before each new try to connect.
        """
        since = time.monotonic()
        # After this time the outage no longer excuses a client's failures.
        with contextlib.suppress(Failed):
            wait_for(
                lambda: side.all_answered(since),
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
        for side in self.sides:
            release = side.rollback(self.published)
            self.say(f"{side.name}: rolled back to release {release['release']}")
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
        for side in self.sides:
            side.answers.expect(release["expected"], release["t_begin"])
        wait_for(
            lambda: not self._waiting_for(release),
            f"every client of {name} to ask until the bound of release {release['release']} "
            "is over",
            limit_s,
            alive=self._check,
            last_seen=lambda: f"not by {self._waiting_for(release)}",
            log=self.sides[0].monitor_log,
        )
        lacking = {side.name: side.lacking() for side in self.sides}
        if not any(lacking.values()):
            self.say(f"{name}: release {release['release']} served to all clients")
            self.let_each_client_ask(s.calm_s)
            return True
        for side in self.sides:
            clients = lacking[side.name]
            if not clients:
                continue
            side.history.record(
                "unserved",
                remote=name,
                release=release["release"],
                clients=clients,
                bound_s=s.bound_s,
            )
            self.say(
                f"{side.name}: release {release['release']} NOT served to {', '.join(clients)} "
                f"within {s.bound_s:g} s"
            )
            # Only now: the server may still serve what the monitor swapped in before it ended.
            side.check_monitor()
        return False

    def _waiting_for(self, release: Event) -> list[str]:
        return [
            f"{client} of {side.name}"
            for side in self.sides
            for client in side.waiting_for(release)
        ]

    def let_each_client_ask(self, for_s: float = 0.0) -> None:
        """Wait until every client has ended a request that it began ``for_s`` seconds from now.

        Gives up on a client that hangs.
        """
        since = time.monotonic() + for_s
        with contextlib.suppress(Failed):
            wait_for(
                lambda: all(side.all_asked(since) for side in self.sides),
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
        for side in self.sides:
            side.check_monitor()

    def _check(self) -> None:
        if self._publishes and "producer" not in self._down:
            self.publisher.check()
        self.remote.check()
        for side in self.sides:
            side.check()

    def part_of(self, target: str) -> tuple[str, Optional[ServerSide]]:
        """Return a part without its number, and the server side that has the part.

        Args:
            target: ``monitor``, ``server``, ``producer``, ``remote`` or a service of the remote. Of
                several servers, ``server`` is the first one and ``server-2`` the second one.
        """
        for side in self.sides:
            for part in ("monitor", "server"):
                if target == part + side.suffix:
                    return part, side
        return target, None

    def goes_down(self, target: str) -> None:
        """Note that a fault is about to end a part, so that its end does not end the leg."""
        part, side = self.part_of(target)
        (self._down if side is None else side.down).add(part)

    def restart(self, target: str) -> None:
        """Start a part that a fault has ended, and wait until it is ready.

        Args:
            target: A part as ``part_of`` names it.
        """
        part, side = self.part_of(target)
        if side is not None:
            side.restart(part, lambda: self._wait_until_answered(side))
            return
        if part == "producer":
            self.publisher.start()
        else:
            self.remote.start(None if part == "remote" else part)
            self.remote.ready()
        self._down.discard(part)

    def stop(self) -> None:
        """End all parts in order. Raises ``Failed`` when a process is left."""
        try:
            if any(side.clients and side.server_is_gone for side in self.sides):
                # The history must show the effect on the clients.
                self.let_each_client_ask()
            for side in self.sides:
                side.stop_clients()
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
