"""Reloads under which the bench of serving binaries measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.engine.loads import reloading
from harness.conformance.serving import server
from harness.conformance.serving.server import Span
from harness.support import waits
from harness.support.errors import Failed


class Server:
    """Stands for a launched one: counts as many reloads as it was given models."""

    def __init__(self, max_reloads: int = 1000) -> None:
        self.installed = 0
        self._max = max_reloads

    def install(self, _: Path) -> None:
        self.installed += 1

    reload = install

    def reload_spans(self) -> list[Span]:
        return [Span(0.0, 1.0)] * min(self._max, self.installed)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.engine.loads.EVERY_S", 0.001)
    monkeypatch.setattr(server, "models", lambda: tmp_path)


def under(launched: Any, at_least: int) -> list[Span]:
    with reloading(launched, at_least) as reloads:
        waits.wait_for(lambda: launched.installed >= 3, "3 models to be installed", 20)
    return reloads


def test_reloads_to_measure_under_are_counted() -> None:
    launched = Server()
    # The reload that puts the first model back does not count.
    assert len(under(launched, 3)) == launched.installed - 1


def test_a_measurement_under_too_few_reloads_is_none() -> None:
    with pytest.raises(Failed, match="there were 1 reloads instead of at least 2"):
        under(Server(max_reloads=1), 2)


def test_a_measurement_without_its_installer_is_none() -> None:
    class Broken(Server):
        def install(self, _: Path) -> None:
            self.installed = 3
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        under(Broken(), 0)
