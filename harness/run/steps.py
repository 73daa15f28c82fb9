"""The steps of a scenario, which a leg takes one after the other.

A step of a scenario file is a table: ``do`` names a class of ``STEPS``, and the other keys are the
class's fields.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.faults import registry
from harness.faults.base import Fault
from harness.support.errors import BadInput

from .leg import Leg
from .our_producer import BAD_RELEASES
from .targets import caused


class Step(ABC):
    """One step. ``check`` raises ``ValueError`` with what is wrong with its fields."""

    do: ClassVar[str]

    def check(self) -> None:  # noqa: B027  # most steps have nothing to check
        """Raise ``ValueError`` for a wrong value. Default: all values are right."""

    @abstractmethod
    def take(self, leg: Leg) -> Iterator[None]:
        """Take the step; yield wherever the history so far can be judged.

        Raises:
            Failed: A part of the leg ended by itself.
        """


@dataclass(frozen=True)
class Publish(Step):
    """Publish releases.

    Attributes:
        count: How many releases; 0: all that are left.
        wait: ``served``: wait until each release is served, or until its bound is over.
            ``announced``: wait only until the producer has published the release.
        bad: How to damage the releases, so that no monitor may install them; "": no damage. One
            of ``corrupt``, ``truncated``, ``without_trailer``, ``empty``, ``html``,
            ``traversal``, ``symlink_out``, ``hard_link``, ``wrong_top``, ``no_parameters`` and
            ``empty_parameters``.
        every_s: The shortest time from one release to the next, in seconds.
    """

    do = "publish"
    count: int = 0
    wait: str = "served"
    bad: str = ""
    every_s: float = 0.0

    def check(self) -> None:
        if self.wait not in ("served", "announced"):
            raise ValueError(f"wait = {self.wait!r} is not known; use served or announced")
        if self.bad and self.bad not in BAD_RELEASES:
            raise ValueError(f"bad = {self.bad!r} is not known; use {', '.join(BAD_RELEASES)}")
        if self.count < 0 or self.every_s < 0:
            raise ValueError("count and every_s are at least 0")

    def take(self, leg: Leg) -> Iterator[None]:
        count = self.count or leg.settings.releases - len(leg.published)
        due = time.monotonic()
        for number in range(count):
            if number and due > time.monotonic():
                leg.wait(due - time.monotonic())
            due += self.every_s
            release = leg.announce(self.bad)
            if self.bad:
                # Time enough for a monitor that would install it.
                settings = leg.settings
                leg.let_each_client_ask(2 * settings.poll_s + 2 * settings.tick_s + 1)
            elif self.wait == "served":
                leg.wait_until_served(release)
            yield


@dataclass(frozen=True)
class Wait(Step):
    """Wait until the last good release is served, or for some seconds.

    Attributes:
        for_s: How many seconds; 0: until the release is served, or its bound is over.
    """

    do = "wait"
    for_s: float = 0.0

    def check(self) -> None:
        if self.for_s < 0:
            raise ValueError("for_s is at least 0")

    def take(self, leg: Leg) -> Iterator[None]:
        if self.for_s:
            leg.wait(self.for_s)
        else:
            good = [release for release in leg.published if release.get("good", True)]
            leg.wait_until_served(good[-1])
        yield


@dataclass(frozen=True)
class Restart(Step):
    """End parts and start them again, one after the other.

    Attributes:
        parts: ``monitor``, ``server``, ``producer``, ``remote`` or a service of the remote, in
            the order of the restarts.
        kill: Whether the parts get SIGKILL, not SIGTERM.
    """

    do = "restart"
    parts: tuple[str, ...]
    kill: bool = False

    def check(self) -> None:
        if not self.parts:
            raise ValueError("parts is empty; name monitor, server, producer or remote")

    def take(self, leg: Leg) -> Iterator[None]:
        for part in self.parts:
            with caused(registry.make("kill" if self.kill else "restart", {"target": part}), leg):
                pass
        yield


@dataclass(frozen=True)
class Cause(Step):
    """Publish releases, cause a fault, end the fault, and wait until the last release is served.

    Attributes:
        fault: The name of a [fault](faults.md).
        target: The part that the fault breaks; "": the fault's default.
        parameters: A table of the fault's parameters.
        for_s: How long the fault lasts, in seconds.
        count: How many releases are published just before the fault starts.
    """

    do = "fault"
    fault: str
    target: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    for_s: float = 3.0
    count: int = 1

    @property
    def made(self) -> Fault:
        """The fault. Raises ``BadInput`` if its name, target or parameters are wrong."""
        target = {"target": self.target} if self.target else {}
        return registry.make(self.fault, {**self.parameters, **target})

    def check(self) -> None:
        try:
            # Raises what is wrong.
            self.made  # noqa: B018
        except BadInput as error:
            raise ValueError(str(error)) from None
        if self.for_s < 0 or self.count < 0:
            raise ValueError("for_s and count are at least 0")

    def take(self, leg: Leg) -> Iterator[None]:
        announced = [leg.announce() for _ in range(self.count)]
        with caused(self.made, leg):
            if self.for_s:
                leg.wait(self.for_s)
        for release in announced[-1:]:
            leg.wait_until_served(release)
        yield


@dataclass(frozen=True)
class Rollback(Step):
    """Go back to the previous release with our monitor's command, and wait until it is served."""

    do = "rollback"

    def take(self, leg: Leg) -> Iterator[None]:
        leg.rollback()
        yield


STEPS: Mapping[str, type[Step]] = {
    step.do: step for step in (Publish, Wait, Restart, Cause, Rollback)
}


def counted(steps: Iterable[Step]) -> int:
    """Return 1, for release 1, plus the counts of all publish and fault steps."""
    return 1 + sum(step.count for step in steps if isinstance(step, (Publish, Cause)))
