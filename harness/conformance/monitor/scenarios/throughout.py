"""One claim over all scenarios of a remote together."""

from __future__ import annotations

from ..stage import Stage
from .base import Scenario


class WholeThroughout(Scenario):
    """The suite judges this one from what it observed in all other scenarios."""

    name = "whole-throughout"
    title = "In every look of all scenarios that allow it the live directory is one whole release."
    loss = "Whatever goes wrong elsewhere can leave a model that crashes the server."
    claims = ()

    def act(self, stage: Stage) -> None:
        """Do nothing."""


SCENARIOS: tuple[type[Scenario], ...] = (WholeThroughout,)
