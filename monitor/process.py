"""The process: a pool of threads, signals that end it within a second, ``--once``.

SIGHUP lets every model look at its donefile at once.

The main thread only waits. On SIGTERM or SIGINT it asks the models to end. A guard ends the process
if a model does not end. The model may be in a call that cannot be interrupted: a DNS look-up, a
connect, a flush. Or its log line may block, because no program reads the log. A swap is
safe whenever the process ends.

A signal's handler takes no lock, because the interrupted thread may have it. The handler notes the
signal and writes a byte to a pipe. At the start, where the main thread works itself, it raises.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Optional

from . import remotes
from .decisions.machine import Event, State
from .errors import BadOption, MachineError, MonitorError
from .log import logger, name_model
from .options.fields import Options
from .pool import Pool
from .served.confirm import Confirmer
from .stop import Stop, Stopped
from .watch.watch import Watch

# How long the guard waits, in seconds. The monitor promises to end within one second.
_END_S = 0.6
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Process:
    """All models of one process."""

    def __init__(self, models: Sequence[Options]) -> None:
        self.stop = Stop()
        self.signalled = 0
        self._poked = False
        self._remotes = [remotes.create(options, self.stop) for options in models]
        self.watches = [
            Watch(options, remote, self.stop) for options, remote in zip(models, self._remotes)
        ]
        self._starting = True
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def run(self) -> int:
        """Watch until a signal comes or, with ``--once``, until all models are done.

        Returns:
            The exit code.

        Raises:
            BadOption: A model cannot be watched.
            MachineError: The system allows no thread.
        """
        before = [signal.getsignal(signum) for signum in _SIGNALS]
        endpoint = None
        try:
            # Inside ``try``, because the first signal may come at once.
            for signum in _SIGNALS:
                signal.signal(signum, self._on_signal)
            first = self.watches[0].options
            if first.metrics_port:
                from .metrics import Endpoint

                endpoint = Endpoint(
                    self.watches, first.metrics_host, first.metrics_port, first.poll_token_file
                )
            for watch in self.watches:
                watch.begin()
            self._starting = False
            return self._watch_all()
        except Stopped:
            # The signal came during the start.
            self._guard()
            return self._code_after_signal()
        finally:
            self._starting = False
            for watch in self.watches:
                watch.end()
            if self.signalled:
                # All work is done. On a busy machine the end of the interpreter could take the rest
                # of the second.
                logging.shutdown()
                os._exit(self._code_after_signal())
            if endpoint is not None:
                endpoint.close()
            for signum, handler in zip(_SIGNALS, before):
                signal.signal(signum, handler)
            os.close(self._woken)
            os.close(self._wake)

    def _confirmers(self) -> list[Confirmer]:
        """Return what asks the servers; nothing with ``--once``, which does not wait for them."""
        return [
            Confirmer(options, watch.reporter.figures, self.stop, watch.notices)
            for watch in self.watches
            for options in [watch.options]
            if (options.server or options.server_log) and not options.once
        ]

    def _watch_all(self) -> int:
        # A model that sets no code has failed.
        codes = [1] * len(self.watches)

        def turn(number: int, watch: Watch) -> Optional[float]:
            name_model(watch.options.local_model_name)
            try:
                pause = None if watch.options.once else _turn(watch)
                if pause is None:
                    codes[number] = once(watch) if watch.options.once else 0
                return pause
            except Exception as error:
                logger.error(
                    "unexpected %s: %s; a bug in the monitor, --debug shows where",
                    type(error).__name__,
                    " ".join(str(error).split()),
                )
                logger.debug("traceback", exc_info=True)
                return None

        pool = Pool([partial(turn, *pair) for pair in enumerate(self.watches)], over=self._wake_up)
        for number, watch in enumerate(self.watches):
            watch.on_poke = partial(pool.wake, number)
        # A pool of its own: when the process ends, it does not wait for the answer of a server.
        asking = Pool([confirmer.turn for confirmer in self._confirmers()])
        pool.start()
        if not pool.has_threads:
            raise MachineError(
                "watch", self.watches[0].options.live, "the system allows no more threads",
                "raise the limit of threads of this process",
            )  # fmt: skip
        asking.start()
        while not self.signalled and not pool.is_over:
            if select.select([self._woken], [], [], 0.5)[0]:
                os.read(self._woken, 64)
            if self._poked:
                self._poked = False
                for watch in self.watches:
                    watch.poke()
            pool.relieve()
            asking.relieve()
        if self.signalled:
            self._end()
        pool.end()
        asking.end()
        pool.wait_ended()
        return max(codes) if not self.signalled else self._code_after_signal()

    def _end(self) -> None:
        self._guard()
        self.stop.set()
        for remote in self._remotes:
            remote.interrupt()
        logger.info("signal %d: ending.", self.signalled)

    def _guard(self) -> None:
        """End the process in ``_END_S`` seconds, if it is still there."""

        def wait() -> None:
            time.sleep(_END_S)
            for watch in self.watches:
                watch.abandon()
            os._exit(self._code_after_signal())

        threading.Thread(target=wait, daemon=True).start()

    def _code_after_signal(self) -> int:
        # With --once a person waits for an installed release, and there is none.
        return 128 + self.signalled if any(w.options.once for w in self.watches) else 0

    def _on_signal(self, signum: int, frame: object) -> None:
        if signum == signal.SIGHUP:
            self._poked = True
            self._wake_up()
            return
        self.signalled = signum
        self._wake_up()
        if self._starting:
            self._starting = False
            raise Stopped

    def _wake_up(self) -> None:
        # A full pipe wakes just as well.
        with contextlib.suppress(OSError):
            os.write(self._wake, b"x")


def _turn(watch: Watch) -> Optional[float]:
    """Carry out states up to the next pause. Return its seconds; None at the end."""
    while watch.machine.state is not State.ENDED:
        try:
            watch.step()
        except Exception:
            # An error of the monitor itself must not end the watch: log it, and go on.
            logger.exception("unexpected; watching goes on")
            watch.start_over()
        if watch.machine.state is State.IDLE:
            return watch.rest()
    return None


def once(watch: Watch) -> int:
    """Install what is announced, if anything, and try to tell the hooks.

    Returns:
        The exit code. The log says why it is not 0.
    """
    code = _install_once(watch)
    watch.notices.deliver()
    return code


def _install_once(watch: Watch) -> int:
    while True:
        row = watch.step()
        if row.event is Event.SETTLING:
            # It is only too early: the next steps sleep and look again.
            continue
        if row.then is State.IDLE or row.then is State.ENDED:
            break
    if row.event in (Event.SWAPPED, Event.INSTALLED, Event.SAME):
        return 0
    error = watch.reporter.error
    options = watch.options
    if isinstance(error, MonitorError) and row.event is not Event.QUARANTINED:
        # The log has the sentence already.
        return error.exit_code
    if row.event is not Event.STOP:
        logger.error(
            "nothing was installed in %s: %s; see --remote_path and --remote_donefile_name",
            options.live,
            row.event.value,
        )
    return 1


def run(models: Sequence[Options]) -> int:
    """Watch the models. Return the exit code. Raise ``BadOption``."""
    lives = [os.path.realpath(options.live) for options in models]
    twice = next((live for live in lives if lives.count(live) > 1), None)
    if twice is not None:
        raise BadOption(f"{twice} is watched twice; give each model a directory of its own")
    return Process(models).run()
