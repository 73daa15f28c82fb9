"""Scenarios beside a real server: a release that is not served, and a bad release."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Optional

from harness.conformance.serving.server import Launched
from harness.support.ports import free_port

from .. import judge
from ..observed import Told
from ..places.base import Place
from ..receiver import Program
from ..settings import Settings
from ..stage import Stage
from .base import Scenario

_ENGINE = Path(sys.prefix, "bin", "embedded-serving")
# The server's reload interval (seconds).
_TICK_S = 1
# How long the server may take to load a release and to answer, on a busy machine (seconds).
_SERVED_S = 60.0


class _BesideAServer(Scenario):
    """The server aborts when it loads a bad model, and a supervisor starts it again."""

    places = frozenset({"http"})
    length = 3.0
    # After this many seconds the monitor says that the server does not serve the release.
    served_within: ClassVar[str]

    def __init__(self) -> None:
        self._server: Optional[Launched] = None

    @property
    def server(self) -> Launched:
        """The server that runs."""
        assert self._server is not None
        return self._server

    def cannot(self, place: Place, settings: Settings) -> Optional[str]:
        return None if os.access(_ENGINE, os.X_OK) else "needs the embedded engine"

    def prepare(self, stage: Stage) -> None:
        first = stage.folder / "first"
        first.mkdir()
        stage.releases[0].write_to(first)
        stage.know(stage.releases[0])
        program, engine = stage.folder / "serving", shlex.quote(str(_ENGINE))
        program.write_text(
            f'#!/bin/sh\nwhile :; do\n{engine} "$@" --strict-compat\nsleep 0.2\ndone\n'
        )
        program.chmod(0o755)
        self._server = Launched(program, first, folder=stage.local, tick_s=_TICK_S)
        self._server.start(_SERVED_S)
        given = {
            "server": f"http://127.0.0.1:{self._server.port}",
            "tick": str(_TICK_S),
            "served_within": self.served_within,
        }
        stage.options.update({k: v for k, v in given.items() if k in stage.settings.knows})

    def clean(self, stage: Stage) -> None:
        if self._server is not None:
            self._server.stop()


class ServedIsTold(_BesideAServer):
    name = "served-is-told"
    title = "While the server does not serve the installed release, the monitor is not ready."
    loss = "A roll-out goes on, although servers still answer with the old release."
    needs = ("server", "served_within", "on_served", "metrics_port", "ready")
    served_within = "5"
    claims = (
        judge.settles_whole,
        judge.readiness_was(200, 503, 200),
        judge.told_in_order("1", "2"),
        judge.not_told_too_early,
        judge.ends_with("release 2"),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        hook = Program(stage.folder)
        stage.options["on_served"] = hook.command
        stage.options["metrics_port"] = str(free_port())
        (way,) = stage.settings.controls["ready"]
        seen = stage.observed.figures.setdefault("ready", [])

        def is_ready(wanted: int) -> bool:
            status = float(stage.ask(way, method="GET"))
            # Before the monitor is ready for the first time, the answer depends on the moment.
            if seen[-1:] != [status] and (seen or status == wanted):
                seen.append(status)
            return status == wanted

        try:
            stage.publish(stage.releases[1])
            stage.start_monitor()
            stage.expect_live(stage.releases[1])
            stage.expect(lambda: hook.told, "release 1 to be served", _SERVED_S)
            stage.expect(lambda: is_ready(200), "the monitor to be ready", _SERVED_S)
            self.server.process.pause()
            stage.publish(stage.releases[2])
            stage.expect_live(stage.releases[2])
            stage.expect(lambda: is_ready(503), "the monitor not to be ready", _SERVED_S)
            early = sum(told.release == "2" for told in hook.told)
            stage.observed.facts["told while not served"] = str(early)
            self.server.process.resume()
            stage.expect(lambda: Told(True, "2") in hook.told, "release 2 to be served", _SERVED_S)
            stage.expect(lambda: is_ready(200), "the monitor to be ready again", _SERVED_S)
        finally:
            stage.observed.told = hook.told
            self.server.process.resume()


class BadReleaseRolledBack(_BesideAServer):
    name = "bad-release-rolled-back"
    title = "The monitor rolls back a release on which the server aborts, and keeps it out."
    loss = "The server restarts with a model that it cannot load, until a person helps."
    needs = ("server", "served_within", "on_served", "on_bad_release")
    # Long, so that the monitor does not roll back a good release on a busy machine.
    served_within = "60"
    claims = (
        judge.settles_whole,
        judge.each_was_live("release 1", "a release that aborts", "release 1", "release 3"),
        judge.ends_with("release 3"),
        judge.told_in_order("1", "3"),
        judge.swaps_at_most(4),
        judge.keeps_running,
    )

    def act(self, stage: Stage) -> None:
        hook = Program(stage.folder)
        stage.options.update(on_served=hook.command, on_bad_release="rollback")
        garbage = stage.releases[2].with_files({"params.pdiparams": b"garbage" * 100})
        # The release matches its manifest, so only the server can find that it is bad.
        bad = replace(garbage, label="a release that aborts")
        try:
            stage.publish(stage.releases[1])
            stage.start_monitor()
            stage.expect_live(stage.releases[1])
            stage.expect(lambda: hook.told, "release 1 to be served", _SERVED_S)
            stage.publish(bad)
            # The monitor may roll it back within milliseconds.
            stage.expect(lambda: stage.was_live(bad), f"{bad.label} to be live")
            began = time.monotonic()
            stage.expect_live(stage.releases[1], _SERVED_S)
            stage.observed.facts["seconds until it was back"] = f"{time.monotonic() - began:.1f}"
            stage.let_polls_pass(2)
            stage.publish(stage.releases[3])
            stage.expect_live(stage.releases[3])
            stage.expect(lambda: Told(True, "3") in hook.told, "release 3 to be served", _SERVED_S)
        finally:
            stage.observed.told = hook.told


SCENARIOS: tuple[type[Scenario], ...] = (ServedIsTold, BadReleaseRolledBack)
