"""Sends notices of swaps to the hooks ``--on_swap``, ``--on_served`` and ``--webhook``.

The live directory decides which notices exist: each swap that the queue's file does not know makes
notices. So a kill between the swap and the write of the file loses nothing. A rollback by a command
makes notices, too. A notice leaves the file after its hook took it, so each hook gets each notice
at least once.

A thread delivers the notices of one hook, and ends when none is left. Polls and swaps do not wait
for this thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from typing import Optional

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url

from ..decisions.moments import Moment
from ..decisions.notices import HOOKS, Notice, Queue, Told
from ..decisions.schedule import Backoff
from ..disk import remove
from ..live.layout import Layout
from ..live.state import Installed, read_installed, read_queue, write_queue
from ..log import logger, name_model
from ..mask import mask
from ..options.fields import Options
from ..options.rotation import SecretFiles
from ..options.words import words
from ..remotes.causes import cause
from ..stop import Stop, Stopped
from . import hook as program
from .figures import Figures

# Pauses between two tries, in seconds.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
# A program may work for an hour. A web hook must answer soon, so that a dead one is tried again.
_LONGEST_POST_S = 60.0
# How long ``end`` waits for a killed program; a kill takes a tenth of a second.
_KILLED_S = 0.5


class Notices:
    """The notices of one model. Any thread may call any method."""

    def __init__(self, options: Options, layout: Layout, figures: Figures, stop: Stop) -> None:
        """``figures`` are the model's numbers."""
        self._options = options
        self._layout = layout
        self._figures = figures
        self._stop = stop
        self._hooks = [hook for hook in HOOKS if getattr(options, hook)]
        self._webhook = options.webhook
        self._secrets = SecretFiles(options) if options.webhook_file else None
        self._lock = threading.RLock()
        self._queue = Queue()
        self._threads: dict[str, threading.Thread] = {}
        # Set when this object or the process ends.
        self._ending = stop.alarm()
        # Set only by ``end``. Until then, swaps still make notices.
        self._ended = False
        self._warned = False

    def begin(self) -> None:
        """Read the notices of an earlier run and deliver them. Needs the monitor's lock."""
        path = self._layout.notices
        with self._lock:
            queue = read_queue(path)
            dropped = queue.keep(self._hooks) if queue is not None else 0
            if dropped:
                logger.warning("dropped %d notices of hooks that are no longer given", dropped)
            if not self._hooks:
                with contextlib.suppress(OSError):
                    remove(path)
                return
            if queue is None:
                if os.path.lexists(path):
                    logger.warning("%s is damaged; the notices in it are lost", path)
                installed = read_installed(self._layout.live)
                queue = Queue(Told(installed.identity, installed.second))
            self._queue = queue
            self._save()
        self._start()

    def look(self) -> None:
        """Add notices of a swap that has none yet."""
        if not self._hooks:
            return
        with self._lock:
            if self._ended:
                return
            installed = read_installed(self._layout.live)
            told = self._queue.told
            if installed.identity is None or installed.second is None:
                return
            if (installed.identity, installed.second) == (told.identity, told.second):
                return
            previous = told.identity.release if told.identity else None
            self._queue.told = Told(installed.identity, installed.second, previous)
            moment = Moment.ROLLED_BACK if installed.brought_back else Moment.SWAPPED
            self._add(moment, installed)

    def served(self, installed: Installed) -> bool:
        """Add notices that the server serves the installed release.

        Returns:
            False if this run has ended. The next run then adds the notices.
        """
        if not self._hooks:
            return True
        with self._lock:
            if self._ended:
                return False
            self.look()
            told = self._queue.told
            if (installed.identity, installed.second) == (told.identity, told.second):
                self._add(Moment.SERVED, installed, time.time())
        return True

    def deliver(self) -> None:
        """Deliver each hook's notices in this thread, up to the first failure."""
        try:
            for hook in self._hooks:
                while True:
                    notice = self._first(hook)
                    if notice is None or not self._try(notice):
                        break
        except Stopped:
            return

    def end(self) -> None:
        """Stop writing, and wait until the programs are killed. Safe to repeat."""
        with self._lock:
            self._ended = True
            self._ending.set()
            threads = [one for hook, one in self._threads.items() if hook != "webhook"]
        for thread in threads:
            thread.join(_KILLED_S)

    def _add(self, moment: Moment, installed: Installed, served: Optional[float] = None) -> None:
        assert installed.identity is not None
        assert installed.second is not None
        told = self._queue.told
        dropped = self._queue.add(
            Notice(
                hook, moment.name.lower(), installed.identity.release, installed.tarball,
                told.previous, installed.second, installed.swapped, served,
            )
            for hook in self._hooks
            if moment in HOOKS[hook]
        )  # fmt: skip
        for one in dropped:
            self._figures.hooks_lost += 1
            logger.warning(
                "--%s is not told of %s: too many newer notices wait", one.hook, one.label
            )
        # Write the file before the delivery: a kill would lose a notice that is only in memory.
        self._save()
        self._start()

    def _start(self) -> None:
        """Give each hook that has notices a thread."""
        if self._options.once:
            return
        with self._lock:
            for hook in self._hooks:
                if hook not in self._threads and self._first(hook) is not None:
                    self._threads[hook] = threading.Thread(
                        target=self._work, args=(hook,), daemon=True
                    )
                    self._threads[hook].start()

    def _work(self, hook: str) -> None:
        name_model(self._options.local_model_name)
        pauses = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            with self._lock:
                notice = self._first(hook)
                if notice is None:
                    # Under the lock, so that the next notice starts another thread.
                    del self._threads[hook]
                    return
            try:
                if self._try(notice):
                    pauses.clear()
                else:
                    self._ending.wait(pauses.fail())
            except Stopped:
                return

    def _first(self, hook: str) -> Optional[Notice]:
        with self._lock:
            return None if self._ending.is_set() else self._queue.first(hook)

    def _try(self, notice: Notice) -> bool:
        """Deliver a notice. Return whether its hook took it."""
        try:
            why = self._post(notice) if notice.hook == "webhook" else self._run(notice)
        except Exception as error:
            logger.exception("unexpected; the hook is tried again")
            why = type(error).__name__
        with self._lock:
            if self._ending.is_set():
                # Another monitor may already own the file.
                return False
            why = mask(why)
            if not why:
                self._queue.took(notice)
            else:
                self._figures.hook_failures += 1
                if self._queue.failed(notice, why):
                    logger.error("--%s failed: %s; it is tried again", notice.hook, why)
            self._save()
        return not why

    def _message(self, notice: Notice) -> str:
        # If the live directory is a link, keep its own path: a swap replaces the link.
        parent, name = os.path.realpath(self._layout.parent), os.path.basename(self._layout.live)
        live = os.path.join(parent, name)
        model = self._options.local_model_name
        return json.dumps(notice.message(model, socket.gethostname(), live))

    def _run(self, notice: Notice) -> str:
        """Run a program. Return why it failed, or an empty text."""
        options = self._options
        argv = [*words(getattr(options, notice.hook), f"--{notice.hook}"), options.live]
        environment = program.environment_of(options, notice.release)
        environment["SERVING_MONITOR_EVENT"] = notice.event
        environment["SERVING_MONITOR_NOTICE"] = self._message(notice)
        try:
            ended = program.run(argv, environment, options.on_swap_timeout, self._stop)
        except OSError as error:
            return f"cannot run {argv[0]}: {error.strerror}"
        return "" if ended.code == 0 else program.why(ended, options.on_swap_timeout)

    def _post(self, notice: Notice) -> str:
        """Send a notice to the web hook. Return why it failed, or an empty text."""
        options = self._options
        changed = self._secrets.read_again() if self._secrets is not None else None
        if changed is not None:
            self._webhook = changed.webhook
        try:
            # A redirect would turn the POST into a GET.
            with requests.post(
                self._webhook.reveal(),
                data=self._message(notice).encode(),
                headers={"Content-Type": "application/json"},
                auth=_account_of_address,
                timeout=min(options.on_swap_timeout, _LONGEST_POST_S),
                allow_redirects=False,
                stream=True,
            ) as answer:
                status = answer.status_code
        except (requests.RequestException, ValueError) as error:
            return f"no answer from {self._webhook}: {cause(error)}"
        return "" if 200 <= status < 300 else f"{self._webhook} answered {status}"

    def _save(self) -> None:
        self._figures.hooks_pending = len(self._queue.pending)
        try:
            write_queue(self._layout.notices, self._queue)
        except OSError as error:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "cannot write %s: %s; a restart may lose notices",
                    self._layout.notices,
                    error.strerror,
                )
        else:
            self._warned = False


def _account_of_address(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Passed as ``auth``, because requests would otherwise send an account of .netrc.
    user, password = get_auth_from_url(request.url or "")
    return HTTPBasicAuth(user, password)(request) if user or password else request
