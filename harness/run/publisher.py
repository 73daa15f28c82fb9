"""Publishes the releases of one leg, and records each release.

There are two publishers: our producer (``our_producer``), and another producer's command
(``producer_command``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from harness.checker.history import Event, History
from harness.remotes.base import Remote
from harness.support.errors import Failed
from harness.support.live_directory import look_once
from harness.support.process import Process

from .ready_releases import flat

Say = Callable[[str], None]


class Publisher(ABC):
    """Publishes releases to the remote of a leg, one at each call of ``announce``.

    Attributes:
        published: The releases so far, each with its manifest.
        ambiguous: Whether two of them predict the same, so that no answer tells them apart.
    """

    def __init__(self, remote: Remote, history: History, say: Say) -> None:
        self.published: list[Event] = []
        self.ambiguous = False
        self._remote = remote
        self._history = history
        self._say = say

    @property
    def process(self) -> Optional[Process]:
        """The process that lives through the whole leg. Default: there is no such process."""
        return None

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """The command line that makes releases."""

    @abstractmethod
    def start(self) -> None:
        """Start what lives through the whole leg."""

    @abstractmethod
    def stop(self) -> None:
        """End what ``start`` started. Safe to repeat."""

    @abstractmethod
    def check(self) -> None:
        """Raise ``Failed`` if what ``start`` started has ended by itself."""

    @abstractmethod
    def announce(self, bad: str, alive: Callable[[], None]) -> Event:
        """Publish a release and return its event with the manifest.

        Args:
            bad: How to damage the release; "" for a good release.
            alive: Raises ``Failed`` if a part of the leg has ended by itself.
        """

    @abstractmethod
    def model(self, position: int, release: int) -> Path:
        """Return the unpacked model of a release by its position among all, or its number."""

    @property
    @abstractmethod
    def client_config(self) -> Path:
        """The folder with the configuration of the compiled client."""

    def _begins(self) -> None:
        """Note that from now on a release may be public before it is recorded."""
        self._history.record("publishing", remote=self._remote.name)

    def _record(
        self,
        known: Mapping[str, Any],
        manifest: Mapping[str, Any],
        *,
        model: Optional[Path],
        bad: str = "",
        seconds: float,
    ) -> None:
        """Record a release that is published.

        Args:
            known: Number, digest and times of the release.
            manifest: Its size, fetches and probe.
            model: The unpacked model; None for a release that no monitor may install.
            bad: How the release is damaged.
            seconds: How long the publishing took.
        """
        alias = manifest["fetches"][0]["alias"]
        event: Event = {
            **known,
            "size": manifest["size"],
            # No live directory and no answer may ever be a bad release's.
            "digest": "" if model is None else _digest(model),
            "expected": [] if model is None else flat(manifest["probe"]["expected"][alias]),
            **({"good": False, "bad": bad} if bad else {}),
        }
        self._history.record("published", remote=self._remote.name, **event)
        self.published.append({**event, "manifest": manifest})
        kind = f" ({bad.replace('_', ' ')})" if bad else ""
        self._say(
            f"{self._remote.name}: release {known['release']}{kind} published ({seconds:.1f} s)"
        )


def _digest(model: Path) -> str:
    content = look_once(model)
    if content is None:
        raise Failed(f"the producer left no {model}")
    return content.digest
