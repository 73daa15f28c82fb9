"""One watched model: carries out what the state machine says, one state a ``step``.

Comes in: options, a remote, the wish to end. Goes out: log lines, a changed live directory, and
the numbers in ``Figures``. ``decisions.machine`` decides what to do next. ``install`` handles a
release that has been pulled.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Callable, Optional

from .. import manifest
from ..decisions.identity import Identity, identify, superseded
from ..decisions.machine import Event, Machine, Row, State, judge
from ..decisions.pauses import Pauses, shown
from ..decisions.schedule import settle_left
from ..decisions.trust import TARBALL, Trust
from ..disk import machine_error, remove
from ..errors import BadOption, MachineError, MonitorError, ReleaseError, RemoteError
from ..live.layout import Layout
from ..live.ownership import Ownership
from ..live.state import (
    Quarantine,
    read_announced,
    read_hold,
    read_installed,
    read_quarantine,
    read_trust,
    write_announced,
    write_quarantine,
    write_trust,
)
from ..live.watched import watched_time_files
from ..log import logger
from ..manifest import Manifest
from ..options.fields import Options
from ..release.model import linked, read_signature
from ..remotes.base import Remote, Sighting
from ..stop import Stop, Stopped
from . import hook
from .figures import Figures
from .install import Install
from .pull import Puller


@dataclass
class _Announced:
    sighting: Sighting
    manifest: Optional[Manifest]
    identity: Identity
    # Parts of the sighting and of the tarball that may change without a release; empty with a
    # manifest.
    validators: Mapping[str, str]


class Watch:
    """One model. ``step`` carries out one state and gives the row that was taken."""

    def __init__(
        self,
        options: Options,
        remote: Remote,
        stop: Stop,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.options = options
        self.layout = Layout(options.live)
        self.ownership = Ownership(self.layout, break_lock=options.break_lock)
        self.machine = Machine()
        self.figures = Figures()
        self.error: Optional[MonitorError] = None
        self._remote = remote
        self._stop = stop
        self._clock = clock
        part = self.layout.part(options.tmp, options.remote_model_name)
        self._puller = Puller(
            remote, part, options.rate_limit, stop,
            received=self._received, largest=options.largest_tarball,
        )  # fmt: skip
        self._install = Install(options, self.layout, self.ownership, stop, self._alive)
        self._pauses = Pauses(options.interval, options.longest_pause)
        self._announced: Optional[_Announced] = None
        # Which validators count, and for which remote.
        self._trust = Trust()
        self._origin = hashlib.sha256(
            repr((options.remote_path, options.remote_model_name, options.remote_donefile_name,
                  str(options.general_host))).encode("utf-8", "surrogateescape")
        ).hexdigest()  # fmt: skip
        # The digest of the previous pull, if the donefile changed during it.
        self._moved_tarball: Optional[str] = None
        self._said: Optional[Identity] = None
        self._warned_no_manifest = False
        self._warned_of_time_file = False
        # The last donefile for which the log says that its manifest is gone.
        self._warned_manifest_gone: Optional[Identity] = None
        self._said_once: set[str] = set()
        self._cleared = False

    def begin(self) -> None:
        """Takes the lock, says what is watched, finishes and clears what a killed run left.

        Raises ``BadOption``.
        """
        for name, value in self._remote.describe():
            logger.info("%s: %s", name, value)
        options = self.options
        for name in ("remote_path", "remote_model_name", "remote_donefile_name"):
            logger.info("_%s: %s", name, getattr(options, name))
        for name in ("local_model_name", "local_path", "local_timestamp_file", "local_tmp_path"):
            logger.info("_%s: %s", name, getattr(options, name))
        logger.info("_interval: %s", shown(options.interval))
        self.ownership.lock()
        self._trust = read_trust(self.layout.validators, self._origin)
        self._mend()
        self._warn_of_unwatched_time_file()

    def end(self) -> None:
        """Removes what is unfinished and lets go of everything. Safe to repeat."""
        if self.ownership.locked:
            # Without the lock the files are those of the monitor that has it.
            self._install.drop()
            self._puller.forget()
        self._remote.close()
        self.ownership.unlock()

    def abandon(self) -> None:
        """As much of ``end`` as is safe while another thread is still in the middle of it."""
        self._remote.interrupt()
        if self.ownership.locked:
            self._puller.abandon()
            self._install.abandon()

    def start_over(self) -> None:
        """After something unforeseen: lets go of everything, and goes to IDLE with a pause."""
        self._install.drop()
        self._puller.forget()
        self._remote.close()
        self._pause_after(self.machine.take(Event.UNFORESEEN))

    def step(self) -> Row:
        """Carries out the state that the machine is in."""
        act = {
            State.IDLE: self._idle,
            State.CHECK: self._check,
            State.PULL: self._pull,
            State.VERIFY: self._verify,
            State.STAGE: self._stage,
            State.SWAP: self._swap,
        }[self.machine.state]
        try:
            event = act()
        except Stopped:
            event = Event.STOP
        except RemoteError as error:
            # A signal ends the programs that were asked as well: that is no fault of the remote.
            event = Event.STOP if self._stop.asked else self._note(Event.REMOTE_FAILED, error)
        except ReleaseError as error:
            event = self._condemn(error)
        except (MachineError, BadOption) as error:
            # A BadOption here is a package that turned out to be missing.
            event = self._note(Event.MACHINE_FAILED, error)
        except OSError as error:
            wrong = machine_error(
                f"{self.machine.state.name.lower()} the release in",
                error.filename or self.layout.parent,
                error,
                "check space and permissions",
            )
            event = self._note(Event.MACHINE_FAILED, wrong)
        row = self.machine.take(event)
        if row.then in (State.IDLE, State.ENDED):
            self._install.drop()
        self._pause_after(row)
        return row

    # --- the states -------------------------------------------------------------------------

    def _idle(self) -> Event:
        logger.info("sleep %ss.", shown(self._pauses.sleep))
        self._stop.wait(self._pauses.sleep)
        return Event.POLL_DUE

    def _check(self) -> Event:
        self._stop.check()
        self.error = None
        self.figures.polls += 1
        if not self._cleared or self._install.is_left():
            self._mend()
        found = self._look()
        self.figures.last_poll = self._clock()
        self._alive()
        self._announced = found
        identity = found.identity if found else None
        installed = read_installed(self.layout.live)
        if installed.identity is not None and installed.identity.release is not None:
            self.figures.release = installed.identity.release
        if found is not None and found.manifest is None:
            self._warn_no_manifest(found, installed.identity)
        quarantine = read_quarantine(self.layout.quarantine)
        if identity is not None:
            # For a rollback, which may come while it is pulled; so before anything else.
            if read_announced(self.layout.announced) != identity:
                write_announced(self.layout.announced, identity)
            self._end_hold(identity)
            self._pauses.announced(identity)
        hold = read_hold(self.layout.hold)
        recheck = self._recheck_is_due(found)
        if recheck:
            # Pull it: its bytes say whether it is still the release that stays out.
            hold = None if hold is not None and hold.tarball else hold
            quarantine = None if quarantine is not None and quarantine.tarball else quarantine
        event = judge(
            identity,
            installed=None if self._is_linked() else self._trust.last_announced(installed.identity),
            recheck=recheck,
            held=hold.identity if hold else None,
            quarantined=quarantine is not None
            and quarantine.covers(
                identity, self._rules(), self._clock(), self.options.quarantine_retry
            ),
            backing_off=self._pauses.backing_off(time.monotonic()),
            settling=self._settle_left() > 0,
        )
        if event is Event.NO_DONEFILE:
            logger.info("remote(%s) has no donefile.", self.options.remote_path)
        elif event is Event.QUARANTINED and quarantine is not None:
            self._stays_out(quarantine)
        elif event is Event.HELD:
            self._once("held", "the announced release is held back by a rollback")
        elif event is Event.ANNOUNCED and identity != self._said:
            self._said = identity
            self._said_once.clear()
            logger.info("doneilfe(%s) changed.", self.options.remote_donefile_name)
        return event

    def _pull(self) -> Event:
        announced = self._now_announced()
        name = self.options.remote_model_name
        found = announced.manifest
        if found is None and self.options.require_manifest:
            raise ReleaseError(
                "use",
                self.options.remote_donefile_name,
                f"its {len(announced.sighting.content)} bytes are no manifest",
                "publish one with the release, or leave out --require_manifest",
            )
        if found is not None and found.tarball != name.rpartition("/")[2]:
            raise ReleaseError(
                "pull", name, f"the manifest is of {found.tarball!r}", "check --remote_model_name"
            )
        if self.options.packed:
            self._puller.pull_file(name, announced.identity, found)
        else:
            self._puller.pull_tree(name, self.options.max_members, self.options.max_unpacked)
        event = self._compare(announced) or self._look_again(announced)
        if event is Event.PULLED:
            logger.info("pull remote model(%s).", name)
        else:
            self._puller.forget()
        return event

    def _verify(self) -> Event:
        proven = self._now_announced().manifest is not None
        self._install.verify(self._puller.part, self._puller.tree_part, proven=proven)
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
        second = self._install.swap(identity, self._puller.digest, now)
        self._puller.forget()
        logger.debug("remove packed file(%s).", options.remote_model_name)
        if second is None:
            return Event.HELD
        logger.info("update local model(%s).", options.local_model_name)
        logger.info("update model timestamp(%s).", options.local_timestamp_file)
        logger.debug("%s is %s, time file at %d", self.layout.live, identity.label, second)
        self._warn_of_unwatched_time_file()
        self.figures.swaps += 1
        self.figures.last_swap = now
        if identity.release is not None:
            self.figures.release = identity.release
        try:
            remove(self.layout.quarantine)
        except OSError as error:
            # It is of another release, and stops nothing.
            logger.warning("cannot remove %s: %s", self.layout.quarantine, error.strerror)
        if announced.validators:
            content = announced.sighting.content
            self._believe(self._trust.after_swap(identity, content, announced.validators, now))
        if options.on_swap:
            hook.on_swap(options, identity, self._stop)
        return Event.SWAPPED

    # --- parts of them ----------------------------------------------------------------------

    def _warn_of_unwatched_time_file(self) -> None:
        """Warn once if the server of the live directory watches another file."""
        if self._warned_of_time_file:
            return
        ours, watched = self.options.local_timestamp_file, watched_time_files(self.layout.live)
        if watched and ours not in watched:
            self._warned_of_time_file = True
            name, path = next(iter(watched.items()))
            logger.warning(
                "the server will not reload: %s says that it watches %s, and "
                "--local_timestamp_file is %s; use --local_timestamp_file=%s",
                path, name, ours, name,
            )  # fmt: skip

    def _alive(self) -> None:
        self._stop.check()
        self.figures.last_life = time.monotonic()

    def _received(self, count: int) -> None:
        self.figures.bytes_pulled += count
        self._alive()

    def _look(self) -> Optional[_Announced]:
        sighting = self._remote.look(self.options.remote_donefile_name)
        if sighting is None:
            return None
        found = manifest.parse(sighting.content)
        validators: dict[str, str] = {}
        mark = sighting.mark
        if found is None and self.options.packed and sighting.validators:
            validators = dict(sighting.validators)
            if self._trust.dropped:
                of_tarball = self._remote.peek(self.options.remote_model_name)
                validators.update({f"{TARBALL}{key}": of_tarball[key] for key in of_tarball})
            mark = self._trust.mark(validators)
        return _Announced(sighting, found, identify(sighting.content, mark, found), validators)

    def _compare(self, announced: _Announced) -> Optional[Event]:
        """Compare the pulled tarball when only validators announced it.

        Returns:
            SAME for the installed tarball, HELD for the tarball that a rollback holds back,
            QUARANTINED for a bad tarball, else None.
        """
        hold = read_hold(self.layout.hold)
        if announced.validators and hold is not None and hold.identity == announced.identity:
            if hold.tarball == self._puller.digest:
                self._believe(replace(self._trust, compared=self._clock(), settled=True))
                return Event.HELD
            if hold.tarball:
                logger.warning("the tarball changed: the rollback's hold ends")
                remove(self.layout.hold)
        if self._is_quarantined(announced):
            return Event.QUARANTINED
        installed = read_installed(self.layout.live)
        same = installed.tarball is not None and installed.tarball == self._puller.digest
        if not (announced.validators and same and installed.identity) or self._is_linked():
            return None
        before = self._trust.dropped
        self._believe(
            self._trust.after_equal(
                installed.identity,
                announced.identity,
                announced.sighting.content,
                announced.validators,
                self._clock(),
            )
        )
        new = [name for name in self._trust.dropped if name not in before]
        if new:
            logger.warning(
                "%s changed twice, but the tarball did not: ignored from now on; a change of "
                "the tarball's size or of another validator announces a release, and every %s s "
                "the tarball's bytes are compared",
                " and ".join(new),
                shown(self.options.recheck_interval),
            )
        logger.info("remote model(%s) is the installed one.", self.options.remote_model_name)
        return Event.SAME

    def _is_quarantined(self, announced: _Announced) -> bool:
        """Return whether validators alone announced a quarantined tarball once more.

        If so, the quarantine applies to this announcement from now on.
        """
        bad = read_quarantine(self.layout.quarantine)
        if not announced.validators or bad is None or bad.tarball != self._puller.digest:
            return False
        now = self._clock()
        if not bad.covers(bad.identity, self._rules(), now, self.options.quarantine_retry):
            return False
        write_quarantine(self.layout.quarantine, replace(bad, identity=announced.identity))
        content = announced.sighting.content
        self._believe(self._trust.after_bad(content, announced.validators, now))
        self._stays_out(bad)
        return True

    def _stays_out(self, bad: Quarantine) -> None:
        """Log once why the announced release is not installed."""
        self._once("quarantined", f"the announced release stays in quarantine: {bad.reason}")
        self.error = ReleaseError(
            "install", "the announced release", bad.reason, "publish another release"
        )

    def _believe(self, trust: Trust) -> None:
        self._trust = trust
        try:
            write_trust(self.layout.validators, self._origin, trust)
        except OSError as error:
            # Not fatal: after a restart, pulls find the same validators again.
            logger.warning("cannot write %s: %s", self.layout.validators, error.strerror)

    def _recheck_is_due(self, found: Optional[_Announced]) -> bool:
        wanted = found is not None and bool(found.validators)
        return wanted and self._trust.is_due(self._clock(), self.options.recheck_interval)

    def _is_linked(self) -> bool:
        """Return whether model files in the live directory are links, which no server loads."""
        links = linked(self.layout.live)
        if links:
            self._once(
                "linked",
                f"{links[0]} in {self.layout.live} is a symbolic link, which a server does not "
                "load: the announced release is installed in its place",
            )
        return bool(links)

    def _warn_no_manifest(self, found: _Announced, installed: Optional[Identity]) -> None:
        """Warn once that releases are not checked.

        If the installed release came with a manifest, warn at each donefile with bytes instead.
        """
        options, size = self.options, len(found.sighting.content)
        if size and installed is not None and installed.release is not None:
            if found.identity != self._warned_manifest_gone:
                self._warned_manifest_gone = found.identity
                logger.warning(
                    "donefile(%s) holds %d bytes that are no manifest, but %s in %s came with "
                    "one; --require_manifest refuses such a donefile",
                    options.remote_donefile_name,
                    size,
                    installed.label,
                    options.live,
                )
        elif not self._warned_no_manifest and not options.require_manifest:
            self._warned_no_manifest = True
            logger.warning(
                "donefile(%s) holds no manifest: size and digest of the release are not checked",
                options.remote_donefile_name,
            )

    def _look_again(self, announced: _Announced) -> Event:
        """What the donefile says after the pull of what it announced before."""
        after = self._look()
        if after is not None and after.identity == announced.identity:
            return Event.PULLED
        newer = superseded(announced.identity, after.identity if after else None)
        if self._pauses.moved and newer and self.options.packed:
            # The newest wins, but a producer that is faster than the pull must not starve the
            # server. The digest proves that the bytes are those of this release.
            logger.warning("the donefile changed during the pull, again: the older one is used")
            return Event.PULLED
        tarball, before = self._puller.digest, self._moved_tarball
        self._moved_tarball = tarball
        if self._pauses.moved and announced.manifest is None and tarball and tarball == before:
            # The tarball was the same before and after the poll between the two pulls.
            return Event.PULLED
        if not self._pauses.moved:
            logger.debug("the donefile changed during the pull")
            return Event.MOVED
        wrong = RemoteError(
            "pull",
            self.options.remote_model_name,
            "the donefile changed during this pull and during the pull before",
            "check whether servers behind one address give one file different times or tags",
        )
        return self._note(Event.MOVED_AGAIN, wrong)

    def _now_announced(self) -> _Announced:
        assert self._announced is not None
        return self._announced

    def _end_hold(self, identity: Identity) -> None:
        hold = read_hold(self.layout.hold)
        if hold is not None and hold.identity != identity:
            logger.warning("the donefile changed: the rollback's hold ends")
            remove(self.layout.hold)

    def _mend(self) -> None:
        """Finishes and removes what a killed run left; what cannot be done is tried later."""
        try:
            self._install.mend(clear=not self._cleared)
        except OSError as error:
            self._once(
                "left",
                f"cannot clear what an earlier run left ({error.filename or self.layout.parent}: "
                f"{error.strerror}); it is tried again at every poll",
            )
        else:
            self._cleared = True

    def _rules(self) -> str:
        """Hash the options that affect verification: a quarantine ends when the hash changes."""
        o = self.options
        # A release may be refused because its feeds differ from those of the running model.
        running = None if o.allow_signature_change else read_signature(self.layout.live)
        rules = (
            o.top, o.allow_signature_change, o.check_command, o.max_members, o.max_unpacked,
            o.max_expansion, o.remote_model_name, running, o.allow_ambiguous_model,
            o.require_manifest,
        )  # fmt: skip
        return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]

    # --- what follows from a failure --------------------------------------------------------

    def _note(self, event: Event, error: MonitorError) -> Event:
        self.error = error
        self.figures.last_error = str(error)
        if isinstance(error, RemoteError):
            self.figures.failures_remote += 1
            logger.warning("%s", error)
        else:
            self.figures.failures_machine += 1
            logger.error("%s", error)
        if self.options.debug:
            logger.debug("traceback", exc_info=True)
        return event

    def _condemn(self, error: ReleaseError) -> Event:
        self.error = error
        self.figures.last_error = str(error)
        self.figures.failures_release += 1
        announced = self._now_announced()
        # A manifest has the digest of a tarball; of a folder it proves nothing.
        proven = announced.manifest is not None and self.options.packed
        until = None if proven else self._clock() + self.options.quarantine_retry
        then = (
            "until the donefile changes"
            if proven
            else f"until the donefile changes, at least {shown(self.options.quarantine_retry)} s"
        )
        logger.error("%s is quarantined %s: %s", announced.identity.label, then, error)
        tarball = self._puller.digest
        self._puller.forget()
        try:
            write_quarantine(
                self.layout.quarantine,
                Quarantine(announced.identity, str(error), until, self._rules(), tarball),
            )
        except OSError as trouble:
            wrong = machine_error(
                "write", self.layout.quarantine, trouble, "check space and permissions"
            )
            return self._note(Event.MACHINE_FAILED, wrong)
        return Event.BAD_RELEASE

    def _pause_after(self, row: Row) -> None:
        announced = self._announced.identity if self._announced else None
        self._pauses.after(row, announced, time.monotonic(), self._settle_left())

    def _settle_left(self) -> float:
        swapped = read_installed(self.layout.live).swapped
        return settle_left(self.options.settle, swapped, self._clock())

    def _once(self, key: str, text: str) -> None:
        if key not in self._said_once:
            self._said_once.add(key)
            logger.warning("%s", text)
