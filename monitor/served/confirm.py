"""Finds out whether the server serves the installed release, beside the loop of the model.

One job for each model looks at the live directory's state, which every swap and rollback changes.
For each new state it asks the server with the release's probe, or reads the server's log. The
model's loop never waits for this job. With ``--on_bad_release=rollback`` the job swaps the last
good release back, as the command ``rollback`` does beside a running monitor.
"""

from __future__ import annotations

import os
import time
from typing import Any, Optional

from ..decisions.identity import Identity
from ..decisions.moments import Moment
from ..decisions.probation import Probation
from ..decisions.probe import Unfit, parts, request
from ..decisions.serving import (
    DEFAULT_TICK_S,
    Confirmation,
    Heard,
    Kind,
    Phase,
    served_within,
)
from ..disk import remove
from ..errors import MachineError
from ..live.layout import Layout
from ..live.state import Installed, Serving, read_installed, read_serving, write_serving
from ..live.watched import watched_elsewhere, watched_time_files
from ..log import logger, name_model
from ..options.fields import Options
from ..release.model import CONF
from ..stop import Stop, Stopped
from ..watch.events import EventFile
from ..watch.figures import Figures
from ..watch.notices import Notices
from .ask import ask
from .log import Reload, ServerLog
from .rollback import is_condemned, take_back

# Pauses between two looks, in seconds. The first follows an answer of the installed release. The
# second is for a release without such an answer. The last is for one that is served or late.
_IN_ROW_S = 0.02
_WAITING_S = 0.1
_CALM_S = 0.5
_MAX_CONF = 4 * 1024 * 1024


class Confirmer:
    """Watches what the server of one model serves."""

    def __init__(
        self, options: Options, figures: Figures, stop: Stop, notices: Optional[Notices] = None
    ) -> None:
        """``figures`` are the model's numbers, ``notices`` what its hooks are told."""
        self._options = options
        self._figures = figures
        self._notices = notices
        self._stop = stop
        self._layout = Layout(options.live)
        self._events = EventFile(options.event_file, options.local_model_name)
        self._log = ServerLog(options.server_log) if options.server_log else None
        self._wait = Confirmation(options.served_answers)
        self._probation = Probation(options.probation)
        # Why the installed release is bad; None if it is not known to be.
        self._bad: Optional[str] = None
        self._was_served = False
        # The release that was served last before the installed one.
        self._last_served: Optional[Identity] = None
        self._starts = 0
        self._installed = Installed()
        # What is sent and what should come back; None without a usable probe.
        self._query: Optional[tuple[dict[str, Any], dict[str, Any]]] = None
        self._first = True
        # Models that the server's log names.
        self._loaded: set[str] = set()

    def turn(self) -> Optional[float]:
        """Do ``step``, and log any unexpected error. Return its pause; None if the process ends."""
        name_model(self._options.local_model_name)
        try:
            self._stop.check()
            return self.step()
        except Stopped:
            return None
        except Exception:
            # An error in this code must not end the confirmation of later releases.
            logger.exception("unexpected; the server is asked again")
            return 10.0

    def step(self) -> float:
        """Look once at the live directory and at the server. Return the pause after it."""
        wait = self._wait
        reloads = self._log.new_reloads() if self._log is not None else []
        for one in reloads:
            if one.ended > one.begun:
                # Otherwise the log does not say when the load began.
                wait.loaded(one.ended - one.begun)
            self._loaded.add(one.model)
        installed = read_installed(self._layout.live)
        if (installed.identity, installed.second) != (
            self._installed.identity,
            self._installed.second,
        ):
            self._begin(installed)
        if self._bad is not None:
            self._take_back(self._bad)
            return _CALM_S
        settled = wait.phase in (Phase.UNKNOWN, Phase.SERVED)
        probation = self._probation.is_open(time.time())
        if installed.identity is None or (settled and not probation):
            return _CALM_S
        heard = self._look(reloads, probation=probation)
        took = wait.hear(heard, time.monotonic())
        if took is not None:
            if self._log is None:
                wait.loaded(max(0.0, took - (self._options.tick or DEFAULT_TICK_S)))
            self._served()
        if wait.is_late(time.monotonic(), self._limit()):
            self._late()
        if probation:
            late_is_bad = self._options.served_within > 0 or wait.load_s is not None
            self._bad = self._probation.hear(heard, wait.phase, late_is_bad=late_is_bad)
        if self._bad is not None:
            return 0.0
        if wait.phase is not Phase.WAITING:
            return _CALM_S
        return _IN_ROW_S if heard.kind is Kind.OURS else _WAITING_S

    def _begin(self, installed: Installed) -> None:
        """Begin the confirmation of a newly installed release."""
        if self._notices is not None:
            self._notices.look()
        first, self._first = self._first, False
        self._installed = installed
        self._query, self._bad = None, None
        now = time.monotonic()
        if installed.identity is None:
            self._wait.begin(now, blind="no release of this monitor is installed")
            self._remember()
            return
        known = read_serving(self._layout.serving)
        if first and known is not None and known.load_s is not None:
            self._wait.loaded(known.load_s)
        blind = self._prepare()
        self._wait.begin(now, blind=blind)
        served = known is not None and known.phase == Phase.SERVED.name
        self._last_served = known.last_served if known is not None else None
        if known is None:
            self._was_served = False
        elif (known.identity, known.second) == (installed.identity, installed.second):
            self._was_served = known.was_served
            if first and served:
                self._wait.served_before()
        else:
            # A release that was replaced before it was judged says nothing about the next one.
            waiting = known.phase == Phase.WAITING.name and known.was_served
            self._was_served = served or waiting
            if served:
                self._last_served = known.identity
        if installed.brought_back:
            # The release before may have ended the server, and a person chose this release.
            self._was_served = False
        if self._options.on_bad_release == "rollback":
            self._bad = None if installed.brought_back else is_condemned(self._layout)
            self._probation.begin(installed.swapped or 0.0, was_served=self._was_served)
        self._starts = self._log.starts if self._log is not None else 0
        if blind is not None:
            logger.warning("whether the server serves %s is not known: %s", installed.label, blind)
        self._remember()

    def _prepare(self) -> Optional[str]:
        """Make the query for the installed release. Return why nothing can confirm it, or None."""
        if not self._options.server:
            return None
        try:
            conf = os.path.join(self._layout.live, CONF)
            with open(conf, encoding="utf-8", errors="replace") as file:
                text = file.read(_MAX_CONF)
            query = request(self._installed.probe, text)
            self._query = (query, parts(self._installed.probe)[1])
        except (OSError, Unfit) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            unsent = f"its probe is not sent to --server: {why}"
            if self._log is None:
                return f"{unsent}; --server_log would tell"
            logger.warning("%s: %s", self._installed.label, unsent)
        return None

    def _look(self, reloads: list[Reload], *, probation: bool) -> Heard:
        # Without a probation, a person may restart the server so that it loads the release.
        if probation and self._log is not None and self._log.starts > self._starts:
            return Heard(Kind.ENDED, f"{self._options.server_log} shows another start")
        if self._query is not None:
            return ask(self._options.server, *self._query)
        return self._heard_of(reloads)

    def _take_back(self, why: str) -> None:
        identity = self._installed.identity
        assert identity is not None
        try:
            after = take_back(self._options, identity, why, self._events, self._last_served)
        except MachineError as error:
            if str(error) != self._figures.last_error:
                self._figures.last_error = str(error)
                logger.error("%s", error)
            return
        self._bad = None
        self._probation.until = None
        if after is not None:
            self._figures.rollbacks += 1
            self._figures.failures_release += 1
            self._figures.last_error = f"{identity.label} is bad: {why}"
            # At once, so that the next release is not blamed for a server that is still down.
            self._begin(after)

    def _heard_of(self, reloads: list[Reload]) -> Heard:
        model, swapped = self._options.local_model_name, self._installed.swapped or 0.0
        for one in reloads:
            if one.model == model and one.began_after(swapped):
                return Heard(Kind.RELOADED, "")
        if self._log is None:
            return Heard(Kind.NOT_RELOADED, "")
        if self._log.trouble:
            return Heard(Kind.SILENT, self._log.trouble)
        path = self._options.server_log
        if self._loaded and model not in self._loaded:
            others = ", ".join(sorted(self._loaded))
            return Heard(
                Kind.NOT_RELOADED,
                f"the server of {path} loads {others} and never {model}; check --local_model_name",
            )
        return Heard(Kind.NOT_RELOADED, f"{path} shows no load of {model} since the swap")

    def _limit(self) -> float:
        options = self._options
        interval = self._log.interval if self._log is not None else None
        return served_within(options.served_within, options.tick, interval, self._wait.load_s)

    def _served(self) -> None:
        installed = self._installed
        by = "probe" if self._query is not None else "log"
        after = max(0.0, time.time() - (installed.swapped or 0.0))
        logger.info("the server serves %s, %.1f s after the swap.", installed.label, after)
        self._events.write(
            Moment.SERVED, installed.identity, installed.tarball, by=by, after=round(after, 3)
        )
        self._figures.last_served = time.time()
        # First the notices, then the state: after a kill in between, the next run tells the hooks.
        if self._notices is None or self._notices.served(installed):
            self._remember()

    def _late(self) -> None:
        installed, options = self._installed, self._options
        ours, watched = options.local_timestamp_file, watched_time_files(options.live)
        elsewhere = watched_elsewhere(options.live)
        if watched and ours not in watched:
            name = next(iter(watched))
            self._wait.why = (
                f"the server watches {name}, and --local_timestamp_file is {ours}; use "
                f"--local_timestamp_file={name}"
            )
        elif not watched and elsewhere:
            self._wait.why = (
                f"the server loads {elsewhere}, and the live directory is {options.live}; check "
                "--local_path and --local_model_name"
            )
        logger.warning(
            "%s is installed and not served within %.1f s: %s",
            installed.label,
            self._limit(),
            self._wait.why,
        )
        self._events.write(
            Moment.NOT_SERVED, installed.identity, installed.tarball, why=self._wait.why
        )
        self._remember()

    def _remember(self) -> None:
        """Write what ``status`` and a later run read, and set the figures."""
        installed, wait, figures = self._installed, self._wait, self._figures
        figures.not_served = int(wait.phase is Phase.LATE)
        figures.not_served_why = wait.why
        if wait.phase is Phase.SERVED and installed.identity is not None:
            release = installed.identity.release
            figures.served_release = -1 if release is None else release
        try:
            if installed.identity is None:
                remove(self._layout.serving)
                return
            serving = Serving(
                installed.identity,
                installed.second,
                wait.phase.name,
                wait.why,
                self._was_served,
                wait.load_s,
                self._last_served,
            )
            write_serving(self._layout.serving, serving)
        except OSError as error:
            logger.warning("cannot write %s: %s", self._layout.serving, error.strerror)
