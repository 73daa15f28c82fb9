"""What a scenario is: something done to a monitor, and what is claimed about what is seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Optional

from ..judge import Check
from ..places.base import Place
from ..settings import Settings
from ..stage import Stage


class Scenario(ABC):
    """One scenario.

    ``title``: one sentence, what a monitor does when it passes. ``loss``: one sentence, what a
    user loses when it fails. ``claims``: what is judged, in the order of weight. ``places``: on
    which remotes it means something (all without it). ``whole_throughout``: whether the live
    directory can be one whole release in every look. ``needs``: options beside upstream's that
    the monitor has to know, and controls that it has to have. ``length``: how long it takes,
    roughly, as a multiple of a short one.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    loss: ClassVar[str]
    claims: ClassVar[tuple[Check, ...]]
    whole_throughout: ClassVar[bool] = True
    places: ClassVar[Optional[frozenset[str]]] = None
    needs: ClassVar[tuple[str, ...]] = ()
    length: ClassVar[float] = 1.0

    def applies(self, place: str, settings: Settings) -> bool:
        """Whether the scenario means anything on this remote, for this monitor."""
        fits = self.places is None or place in self.places
        return fits and {*self.needs} <= {*settings.knows, *settings.controls}

    def cannot(self, place: Place, settings: Settings) -> Optional[str]:
        """Why it cannot be run on this machine; None when it can."""
        return None

    def prepare(self, stage: Stage) -> None:
        """Prepare the stage before the watcher starts: by default, install the first model."""
        stage.install(stage.releases[0])

    @abstractmethod
    def act(self, stage: Stage) -> None:
        """Do it. A wait that is not met raises ``stage.NotMet``; do not catch it."""

    def clean(self, stage: Stage) -> None:  # noqa: B027 - most scenarios have nothing to undo
        """Undo what the scenario broke, after the monitor and the watcher have ended."""
