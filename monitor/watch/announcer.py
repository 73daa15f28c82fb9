"""What the remote announces, and whether it has to be installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, Optional

from .. import manifest
from ..decisions.identity import Identity, identify, superseded
from ..decisions.machine import Event, judge
from ..disk import remove
from ..errors import ReleaseError, RemoteError
from ..live.layout import Layout
from ..live.state import (
    read_announced,
    read_hold,
    read_installed,
    read_orders,
    write_announced,
)
from ..log import logger
from ..manifest import Manifest
from ..options.fields import Options
from ..release.model import linked
from ..remotes.base import Remote, Sighting
from .refusals import Refusals
from .reporter import Reporter
from .signatures import Signatures
from .validators import Validators


@dataclass(frozen=True)
class Announced:
    """What one look at the donefile found."""

    # The donefile.
    sighting: Sighting
    # What the donefile says, if it is a manifest.
    manifest: Optional[Manifest]
    # The release.
    identity: Identity
    # Parts of the sighting and of the tarball that may change without a release; empty with a
    # manifest.
    validators: Mapping[str, str]
    # Why ``--verify_signature`` refuses the donefile. ``manifest`` is then None.
    refused: Optional[ReleaseError] = None


class Announcer:
    """Reads the donefile of one model, and compares it with the live directory.

    Attributes:
        validators: Which validators of the remote count.
        refusals: The release that stays out because it is bad.
    """

    def __init__(
        self,
        options: Options,
        layout: Layout,
        remote: Remote,
        reporter: Reporter,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives seconds since the epoch."""
        self.validators = Validators(options, layout, remote, clock)
        self.refusals = Refusals(options, layout, clock)
        self._signatures = Signatures(options, layout)
        self._options = options
        self._layout = layout
        self._remote = remote
        self._reporter = reporter
        self._clock = clock
        # The last release for which the log says that the donefile changed.
        self._said: Optional[Identity] = None
        # The digest of the previous pull, if the donefile changed during it.
        self._moved_tarball: Optional[str] = None

    def look(self) -> Optional[Announced]:
        """Read the donefile.

        Returns:
            What it announces; None if the remote has no donefile.

        Raises:
            RemoteError: The remote failed.
        """
        sighting = self._remote.look(self._options.remote_donefile_name)
        if sighting is None:
            return None
        try:
            found = self._signatures.signed(manifest.parse(sighting.content))
        except ReleaseError as error:
            identity = identify(sighting.content, sighting.mark, None)
            return Announced(sighting, None, identity, {}, error)
        validators: dict[str, str] = {}
        mark = sighting.mark
        if found is None and self._options.packed and sighting.validators:
            validators = self.validators.of(sighting)
            mark = self.validators.trust.mark(validators)
        return Announced(sighting, found, identify(sighting.content, mark, found), validators)

    def judge(self, found: Optional[Announced], *, backing_off: bool, settling: bool) -> Event:
        """Decide what a look at the donefile means, and log it if it is new.

        Args:
            found: What the donefile announces; None if there is no donefile.
            backing_off: The pause after a failure of this release is not over.
            settling: ``--settle`` or ``--splay`` does not allow an installation yet.

        Raises:
            OSError: A file beside the live directory cannot be changed.
        """
        reporter = self._reporter
        identity = found.identity if found else None
        installed = read_installed(self._layout.live)
        if installed.identity is not None and installed.identity.release is not None:
            reporter.figures.release = installed.identity.release
        orders = read_orders(self._layout.orders)
        reporter.orders(orders.in_force(self._clock()))
        if found is not None:
            # Check the signature first: a donefile without a good signature must not end a hold.
            refused = found.refused or self._signatures.replay(found.manifest, orders)
            reporter.trust(found.sighting.content, refused)
            self._signatures.keep(refused)
            if refused is not None:
                reporter.judged(Event.UNTRUSTED)
                return Event.UNTRUSTED
        else:
            reporter.trust(b"", None)
            self._signatures.keep(None)
        if found is not None and found.manifest is None:
            size = len(found.sighting.content)
            reporter.no_manifest(found.identity, size, installed.identity)
        bad = self.refusals.read()
        if identity is not None:
            # Write the file before the pull, because a rollback during the pull reads it.
            if read_announced(self._layout.announced) != identity:
                trusted = self._signatures.number(found.manifest) if found else 0
                write_announced(self._layout.announced, identity, trusted)
            self._end_hold(identity)
        hold = read_hold(self._layout.hold)
        validators = found.validators if found else {}
        recheck = bool(validators) and self.validators.recheck_is_due(validators)
        if recheck:
            # Only its bytes show whether the tarball must still stay out, so pull the tarball.
            hold = None if hold is not None and hold.tarball else hold
            bad = None if bad is not None and bad.tarball else bad
        event = judge(
            identity,
            installed=(
                None if self._is_linked() else self.validators.last_announced(installed.identity)
            ),
            recheck=recheck,
            held=hold.identity if hold else None,
            forbidden=orders.forbids(identity, self._clock()),
            quarantined=bad is not None and self.refusals.covers(bad, identity),
            backing_off=backing_off,
            settling=settling,
        )
        reporter.judged(event)
        if event is Event.NO_DONEFILE:
            logger.info("remote(%s) has no donefile.", self._options.remote_path)
        elif event is Event.QUARANTINED and bad is not None:
            reporter.stays_out(bad.reason)
        elif event is Event.HELD:
            reporter.once("held", "the announced release is held back by a rollback")
        elif event in (Event.ON_HOLD, Event.NOT_PINNED):
            reporter.forbidden(event, orders)
        elif event is Event.ANNOUNCED and identity != self._said:
            self._said = identity
            reporter.new_release()
            logger.info("doneilfe(%s) changed.", self._options.remote_donefile_name)
        return event

    def check_manifest(self, announced: Announced) -> None:
        """Raise ``ReleaseError`` if the options forbid to pull what the donefile announces."""
        options, found = self._options, announced.manifest
        if found is None and options.require_manifest:
            raise ReleaseError(
                "use",
                options.remote_donefile_name,
                f"its {len(announced.sighting.content)} bytes are no manifest",
                "publish one with the release, or leave out --require_manifest",
            )
        name = options.remote_model_name
        if found is not None and found.tarball != name.rpartition("/")[2]:
            raise ReleaseError(
                "pull", name, f"the manifest is of {found.tarball!r}", "check --remote_model_name"
            )

    def compare(self, announced: Announced, digest: Optional[str]) -> Optional[Event]:
        """Compare the pulled tarball if only validators announced it.

        Args:
            announced: What was pulled.
            digest: The tarball's SHA-256; None for a folder.

        Returns:
            SAME for the installed tarball, HELD for the tarball that a rollback holds back,
            QUARANTINED for a bad tarball, else None.
        """
        identity, validators = announced.identity, announced.validators
        content = announced.sighting.content
        hold = read_hold(self._layout.hold)
        if validators and hold is not None and hold.identity == identity:
            if hold.tarball == digest:
                self.validators.held()
                return Event.HELD
            if hold.tarball:
                logger.warning("the tarball changed: the rollback's hold ends")
                remove(self._layout.hold)
        bad = self.refusals.read()
        refused = bad is not None and bad.tarball == digest
        if validators and bad is not None and refused and self.refusals.covers(bad, bad.identity):
            self.refusals.announced_again(bad, identity)
            self.validators.bad(content, validators)
            self._reporter.stays_out(bad.reason)
            return Event.QUARANTINED
        installed = read_installed(self._layout.live)
        same = installed.tarball is not None and installed.tarball == digest
        if not (validators and same and installed.identity) or self._is_linked():
            return None
        self.validators.same(installed.identity, identity, content, validators)
        logger.info("remote model(%s) is the installed one.", self._options.remote_model_name)
        return Event.SAME

    def look_again(self, announced: Announced, digest: Optional[str], *, moved: bool) -> Event:
        """Read the donefile after the pull of what it announced before.

        Args:
            announced: What was pulled.
            digest: The tarball's SHA-256; None for a folder.
            moved: Whether the donefile changed during the previous pull as well.

        Returns:
            PULLED if the pulled release may be installed, else MOVED or MOVED_AGAIN.
        """
        after = self.look()
        if after is not None and after.identity == announced.identity:
            return Event.PULLED
        newer = superseded(announced.identity, after.identity if after else None)
        if moved and newer and self._options.packed:
            # The newest wins, but a producer that is faster than the pull must not starve the
            # server. The digest proves that the bytes are those of this release.
            logger.warning("the donefile changed during the pull, again: the older one is used")
            return Event.PULLED
        before, self._moved_tarball = self._moved_tarball, digest
        if moved and announced.manifest is None and digest and digest == before:
            # Both pulls brought this tarball, so it is also that of the poll between them.
            return Event.PULLED
        if not moved:
            logger.debug("the donefile changed during the pull")
            return Event.MOVED
        self._reporter.failed(
            RemoteError(
                "pull",
                self._options.remote_model_name,
                "the donefile changed during this pull and during the pull before",
                "check whether servers behind one address give one file different times or tags",
            )
        )
        return Event.MOVED_AGAIN

    def _end_hold(self, identity: Identity) -> None:
        hold = read_hold(self._layout.hold)
        if hold is not None and hold.identity != identity:
            logger.warning("the donefile changed: the rollback's hold ends")
            remove(self._layout.hold)

    def _is_linked(self) -> bool:
        """Return whether model files in the live directory are links, which no server loads."""
        links = linked(self._layout.live)
        if links:
            self._reporter.once(
                "linked",
                f"{links[0]} in {self._layout.live} is a symbolic link, which a server does not "
                "load: the announced release is installed in its place",
            )
        return bool(links)
