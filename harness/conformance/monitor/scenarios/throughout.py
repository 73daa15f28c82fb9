"""One claim over all scenarios of a remote together."""

from __future__ import annotations

from ..stage import Stage
from .base import Scenario


class WholeThroughout(Scenario):
    """Judged by the suite from what was observed in the others."""

    name = "whole-throughout"
    title = "In every look of all scenarios that allow it the live directory is one whole release."
    loss = "Whatever goes wrong elsewhere can leave a model that crashes the server."
    claims = ()

    def act(self, stage: Stage) -> None:
        """Nothing of its own."""


SCENARIOS: tuple[type[Scenario], ...] = (WholeThroughout,)
