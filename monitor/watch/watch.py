"""The loop of one watched model: carries out what the state machine says, one state a ``step``.

``announcer`` reads what is announced, ``pull`` brings it here, and ``install`` makes it live.
``reporter`` and ``telling`` say what happens. None of them knows of the loop.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Callable, Optional

from ..decisions.machine import Event, Machine, Row, State
from ..decisions.moments import TO_INSTALL
from ..decisions.pauses import Pauses, shown
from ..decisions.schedule import Splay, settle_left
from ..disk import machine_error
from ..errors import BadOption, MachineError, MonitorError, ReleaseError, RemoteError
from ..live.layout import Layout
from ..live.ownership import Ownership
from ..live.state import Installed, read_installed
from ..log import logger
from ..options.fields import Options
from ..remotes.base import Remote
from ..stop import Stop, Stopped
from .announcer import Announced, Announcer
from .install import Install
from .notices import Notices
from .pull import Puller
from .reporter import Reporter
from .telling import Telling


class Watch:
    """One model. ``step`` carries out one state and returns the row that was taken.

    Attributes:
        options: The model's options.
        layout: The paths of its live directory.
        machine: Its state.
        reporter: What it says: figures and the last error.
        notices: What its hooks are told.
        on_poke: Called after each ``poke``, in the same thread.
    """

    def __init__(
        self,
        options: Options,
        remote: Remote,
        stop: Stop,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` gives seconds since the epoch."""
        self.options = options
        self.layout = Layout(options.live)
        self.machine = Machine()
        self.reporter = Reporter(options)
        self.notices = Notices(options, self.layout, self.reporter.figures, stop)
        self._ownership = Ownership(self.layout, break_lock=options.break_lock)
        self._remote = remote
        self._stop = stop
        self._clock = clock
        self._announcer = Announcer(options, self.layout, remote, self.reporter, clock)
        self._install = Install(options, self.layout, self._ownership, stop, self._alive)
        part = self.layout.part(options.tmp, options.remote_model_name)
        self._puller = Puller(
            remote, part, options.rate_limit, stop,
            received=self._received, largest=options.largest_tarball,
            # A check command gets the tarball.
            unpack=None if options.check_command else self._install.begin_unpacking,
        )  # fmt: skip
        self._pauses = Pauses(options.interval, options.longest_pause)
        self._splay = Splay(
            options.splay, f"{socket.gethostname()}\0{os.path.realpath(options.live)}"
        )
        self._telling = Telling(options, self.reporter, self._puller)
        self.on_poke: Callable[[], None] = lambda: None
        self._poked = stop.alarm()
        self._rested = False
        self._announced: Optional[Announced] = None
        self._cleared = False

    def begin(self) -> None:
        """Log the options, take the lock, and mend what a killed run left.

        Raises:
            BadOption: Another monitor watches the live directory, it cannot be locked, or
                ``--event_file`` cannot be written.
        """
        self.reporter.options(self._remote.describe())
        self._telling.check()
        self._ownership.lock()
        self._announcer.validators.load()
        self._mend()
        self.notices.begin()
        self.reporter.unwatched_time_file()

    def end(self) -> None:
        """Remove what is unfinished, and release everything. Safe to repeat."""
        self.notices.end()
        if self._ownership.locked:
            # Without the lock the files are those of the monitor that has it.
            self._install.drop()
            self._puller.forget()
        self._remote.close()
        self._ownership.unlock()

    def abandon(self) -> None:
        """Do as much of ``end`` as is safe while another thread may still work on the model."""
        self._remote.interrupt()
        if self._ownership.locked:
            self._puller.abandon()
            self._install.abandon(self._puller.unpacking)

    def start_over(self) -> None:
        """Release everything after something unforeseen, and go to IDLE with a pause."""
        self._install.drop()
        self._puller.forget()
        self._remote.close()
        row = self.machine.take(Event.UNFORESEEN)
        self._telling.ended(row, self._announced)
        self._pause_after(row)

    def poke(self) -> None:
        """Look at the donefile at once, or once more after the present work. Any thread may."""
        self._poked.set()
        self.on_poke()

    def rest(self) -> float:
        """Return the seconds that IDLE lasts. The caller waits, so the next step does not."""
        self._rested = True
        pause = self._pause()
        return 0.0 if self._poked.is_set() else pause

    def step(self) -> Row:
        """Carry out the state that the machine is in."""
        act = {
            State.IDLE: self._idle,
            State.CHECK: self._check,
            State.PULL: self._pull,
            State.VERIFY: self._verify,
            State.STAGE: self._stage,
            State.SWAP: self._swap,
        }[self.machine.state]
        # What failed in the swap is tried again without another pull.
        keep = self.machine.state is State.SWAP
        try:
            event = act()
        except Stopped:
            event = Event.STOP
        except RemoteError as error:
            # The end also kills the programs that ask the remote: that is no fault of the remote.
            event = Event.STOP if self._stop.asked else self._failed(Event.REMOTE_FAILED, error)
        except ReleaseError as error:
            event = self._condemn(error)
        except (MachineError, BadOption) as error:
            # A BadOption here is a package that turned out to be missing.
            event = self._failed(Event.MACHINE_FAILED, error)
        except OSError as error:
            wrong = machine_error(
                f"{self.machine.state.name.lower()} the release in",
                error.filename or self.layout.parent,
                error,
                "check space and permissions",
            )
            event = self._failed(Event.MACHINE_FAILED, wrong)
            keep = keep and error.errno not in (errno.ENOSPC, errno.EDQUOT)
        row = self.machine.take(event)
        self._telling.ended(row, self._announced)
        if row.then in (State.IDLE, State.ENDED):
            self._install.drop()
        if row.event is Event.MACHINE_FAILED and not keep:
            # The release may be incomplete or not on disk, and others may need the space.
            self._puller.forget_unpacked()
        self._pause_after(row)
        return row

    # --- the states -------------------------------------------------------------------------

    def _idle(self) -> Event:
        poked = self._poked.wait(0.0 if self._rested else self._pause())
        self._rested = False
        # Before the look, so that a poke during the look causes another one.
        self._poked.clear()
        self._stop.check()
        if poked:
            self.reporter.figures.pokes += 1
            logger.info("poked: looking at once.")
        return Event.POLL_DUE

    def _check(self) -> Event:
        self._stop.check()
        reporter = self.reporter
        reporter.error = None
        self._announced = None
        reporter.figures.polls += 1
        if not self._cleared or self._install.is_left():
            self._mend()
        # A command, or a run that was killed, may have made a swap.
        self.notices.look()
        found = self._announcer.look()
        reporter.figures.last_poll = self._clock()
        self._alive()
        self._announced = found
        if found is not None:
            self._pauses.announced(found.identity)
            # A server without a model, and a person who waits for --once, get the release at once.
            if os.path.isdir(self.options.live) and not self.options.once:
                self._splay.begin(found.identity.key, time.monotonic())
        event = self._announcer.judge(
            found,
            backing_off=self._pauses.backing_off(time.monotonic()),
            settling=self._settle_left() > 0,
        )
        if event not in TO_INSTALL:
            self._splay.end()
            # A paused pull would keep its folder and its thread.
            self._puller.forget_unpacked()
        return event

    def _pull(self) -> Event:
        announced = self._now_announced()
        name = self.options.remote_model_name
        self._telling.pulling()
        self._announcer.check_manifest(announced)
        if self.options.packed:
            self._puller.pull_file(name, announced.identity, announced.manifest)
        else:
            self._puller.pull_tree(name, self.options.max_members, self.options.max_unpacked)
        digest = self._puller.digest
        event = self._announcer.compare(announced, digest) or self._announcer.look_again(
            announced, digest, moved=self._pauses.moved
        )
        if event is Event.PULLED:
            logger.info("pull remote model(%s).", name)
        else:
            self._puller.forget()
        return event

    def _verify(self) -> Event:
        proven = self._now_announced().manifest is not None
        puller = self._puller
        self._install.verify(puller.part, puller.tree_part, puller.unpacking, proven=proven)
        return Event.GOOD

    def _stage(self) -> Event:
        announced = self._now_announced()
        content, part = announced.sighting.content, self._puller.part
        self._install.stage(announced.identity, announced.manifest, content, part)
        return Event.STAGED

    def _swap(self) -> Event:
        announced = self._now_announced()
        identity = announced.identity
        options = self.options
        now = self._clock()
        # A command may have made a swap during the pull.
        self.notices.look()
        before = read_installed(self.layout.live).identity

        probe = None
        if options.server and announced.manifest is not None:
            found = announced.manifest.content.get("probe")
            probe = found if isinstance(found, dict) else None

        def swapped(installed: Installed) -> None:
            self._telling.swapped(announced, before, installed)

        second = self._install.swap(identity, self._puller.digest, now, probe, swapped)
        self._puller.forget()
        logger.debug("remove packed file(%s).", options.remote_model_name)
        if isinstance(second, Event):
            return second
        logger.info("update local model(%s).", options.local_model_name)
        logger.info("update model timestamp(%s).", options.local_timestamp_file)
        logger.debug("%s is %s, time file at %d", self.layout.live, identity.label, second)
        self.reporter.unwatched_time_file()
        self._splay.end()
        self.reporter.swapped(identity, now)
        self._announcer.refusals.end()
        if announced.validators:
            content = announced.sighting.content
            self._announcer.validators.swapped(identity, content, announced.validators, now)
        self.notices.look()
        return Event.SWAPPED

    # --- parts of them ----------------------------------------------------------------------

    def _pause(self) -> float:
        logger.info("sleep %ss.", shown(self._pauses.sleep))
        return max(0.0, self._pauses.sleep)

    def _alive(self) -> None:
        self._stop.check()
        self.reporter.figures.last_life = time.monotonic()

    def _received(self, count: int) -> None:
        self.reporter.figures.bytes_pulled += count
        self._alive()

    def _now_announced(self) -> Announced:
        assert self._announced is not None
        return self._announced

    def _mend(self) -> None:
        """Mend what a killed run left. What cannot be done is tried at the next poll."""
        try:
            self._install.mend(clear=not self._cleared, ours=self._puller.unpacking)
        except OSError as error:
            self.reporter.once(
                "left",
                f"cannot clear what an earlier run left ({error.filename or self.layout.parent}: "
                f"{error.strerror}); it is tried again at every poll",
            )
        else:
            self._cleared = True

    def _failed(self, event: Event, error: MonitorError) -> Event:
        self.reporter.failed(error)
        return event

    def _condemn(self, error: ReleaseError) -> Event:
        announced = self._now_announced()
        # A manifest has the digest of a tarball. It proves nothing about a folder.
        proven = announced.manifest is not None and self.options.packed
        self.reporter.quarantined(announced.identity, error, proven=proven)
        tarball = self._puller.digest
        self._puller.forget()
        try:
            self._announcer.refusals.add(announced.identity, error, proven=proven, tarball=tarball)
        except MachineError as trouble:
            return self._failed(Event.MACHINE_FAILED, trouble)
        return Event.BAD_RELEASE

    def _pause_after(self, row: Row) -> None:
        announced = self._announced.identity if self._announced else None
        self._pauses.after(row, announced, time.monotonic(), self._settle_left())

    def _settle_left(self) -> float:
        left = self._splay.left(time.monotonic())
        if self.options.settle:
            swapped = read_installed(self.layout.live).swapped
            left = max(left, settle_left(self.options.settle, swapped, self._clock()))
        return left
