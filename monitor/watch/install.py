"""What becomes of a release once it is on this machine: verified, completed, swapped in.

Comes in: the pulled tarball or folder, what the donefile announced, the wish to end. Goes out: a
changed live directory, or a ``ReleaseError``, ``MachineError`` or ``OSError`` and an untouched one.
``watch`` says when; nothing is decided here.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Callable, Optional

from ..decisions.identity import Identity
from ..disk import check_space, copy_file, remove
from ..errors import ReleaseError
from ..live import kept, replace
from ..live.fallback import READY
from ..live.layout import ROLLBACK, Folder
from ..live.recovery import recover
from ..live.staging import choose_second, dress, flush, stamp, tree
from ..live.state import NAME as STATE_FILE
from ..live.state import Installed, read_hold
from ..log import logger
from ..manifest import Manifest
from ..options.fields import Options
from ..release import archive, case, model
from ..stop import Stop
from . import hook


class Install:
    """The way of one release after another into one live directory."""

    def __init__(
        self, options: Options, folder: Folder, stop: Stop, alive: Callable[[], None]
    ) -> None:
        """``alive`` is called for each piece of work, and may raise ``Stopped``."""
        self._options = options
        self._folder = folder
        self._stop = stop
        self._alive = alive
        self._staging = ""
        self._last_second: Optional[int] = None
        # Held while the exchange may happen; whoever has it may take the staging folder away.
        self._hands = threading.Lock()

    def verify(self, part: str, tree_part: str, *, proven: bool) -> None:
        """Bring the release into a staging folder and check that it is a model.

        Args:
            part: The pulled tarball.
            tree_part: The pulled folder, for a release that is a folder.
            proven: A manifest's digest proves the bytes of ``part``.

        Raises:
            ReleaseError: The release is bad.
        """
        options, name = self._options, self._options.remote_model_name
        self._staging = self._folder.new_staging()
        if options.packed:
            self._unpack(part, proven)
        else:
            # Before the move, because a copy to another filesystem would follow a link.
            model.check_regular(name, tree_part)
            self._move_tree(tree_part)
        for ours in (options.local_timestamp_file, STATE_FILE, f"{STATE_FILE}.new"):
            if os.path.isdir(os.path.join(self._staging, ours)):
                raise ReleaseError(
                    "use", name, f"{ours} in it is a folder", "publish it without that folder"
                )
        sizes = model.sizes(self._staging)
        # A time file in the release is replaced by ours.
        sizes.pop(options.local_timestamp_file, None)
        model.check_files(name, sizes, allow_ambiguous=options.allow_ambiguous_model)
        new = model.read_signature(self._staging)
        running = None
        if not options.allow_signature_change:
            running = model.read_signature(self._folder.live)
        model.check_signature(name, new, running)

    def stage(
        self, identity: Identity, manifest: Optional[Manifest], donefile: bytes, part: str
    ) -> None:
        """Runs ``--check_command``; makes the files of the staging folder what they will be."""
        if self._options.check_command:
            hook.check(
                self._options,
                identity,
                manifest,
                staging=self._staging,
                tarball=part,
                donefile=donefile,
                stop=self._stop,
            )
        # All but the folder itself, which the swap still writes into.
        inside = tree(self._staging)[:-1]
        dress(inside, self._folder.live)
        flush(inside, self._alive)

    def swap(self, identity: Identity, tarball: Optional[str], now: float) -> Optional[int]:
        """Make the staging folder the live directory.

        Args:
            identity: The announced release.
            tarball: The SHA-256 of the unpacked tarball; None for a folder.
            now: The present time, in seconds since the epoch.

        Returns:
            The time file's second; None when a rollback in the meantime holds the release back.
        """
        options, live = self._options, self._folder.live
        with self._folder.swapping(), self._hands:
            self._stop.check()
            hold = read_hold(self._folder.hold)
            if hold is not None and hold.identity == identity:
                return None
            self._recover()
            second = choose_second(live, options.local_timestamp_file, now, self._last_second)
            installed = Installed(identity, second, now, tarball)
            added = stamp(self._staging, options.local_timestamp_file, installed)
            dress(added, live)
            flush(added)
            old = replace.swap(self._staging, live, options.local_timestamp_file, alive=self._alive)
            self._staging = ""
            self._last_second = second
            self._put_away(old)
        return second

    def drop(self) -> None:
        """Removes a staging folder that did not come to its swap."""
        if self._staging:
            staging, self._staging = self._staging, ""
            try:
                remove(staging)
            except OSError as error:
                logger.warning("cannot remove %s: %s", staging, error.strerror)

    def abandon(self) -> None:
        """``drop`` while another thread may be at work on the folder, unless it is in the swap."""
        # Deliberately never released: no later swap may start.
        if self._staging and self._hands.acquire(blocking=False):
            with contextlib.suppress(OSError):
                remove(self._staging)

    def is_left(self) -> bool:
        """Whether a rollback or a swap that was killed left something that has to be mended."""
        return any(path.endswith((READY, ROLLBACK)) for path in self._folder.stagings())

    def mend(self, *, clear: bool) -> None:
        """Finishes what was cut off; with ``clear`` removes what an earlier run left, too.

        Raises ``OSError``; it can be tried again.
        """
        options = self._options
        # Not beside a rollback, whose staging folder would go.
        with self._folder.swapping():
            self._recover()
            for path in kept.rescue(self._folder):
                logger.warning("kept what a rollback that was cut off left: %s", path)
            if clear:
                for path in self._folder.clean(options.tmp, options.remote_model_name):
                    logger.debug("removed what an earlier run left: %s", path)

    def _unpack(self, part: str, proven: bool) -> None:
        options = self._options
        name = options.remote_model_name
        logger.info("unpack remote file(%s).", name)
        limits = archive.Limits(options.max_members, options.max_unpacked, options.max_expansion)
        try:
            skipped = archive.unpack(
                part,
                self._staging,
                top=options.top,
                limits=limits,
                proven=proven,
                before_file=lambda member: check_space(self._staging, member.size, "unpack into"),
                alive=self._alive,
            )
        except ReleaseError as error:
            raise ReleaseError("unpack", name, error.cause, error.hint) from error
        if skipped.outside or skipped.macos:
            logger.info(
                "skipped in %s: %d outside %s, %d that macOS added.",
                name, skipped.outside, options.top, skipped.macos,
            )  # fmt: skip
        logger.info("using unpacked filename: %s.", options.top)

    def _move_tree(self, pulled: str) -> None:
        case.check(self._options.remote_model_name, model.sizes(pulled), self._staging)
        try:
            for name in sorted(os.listdir(pulled)):
                os.rename(os.path.join(pulled, name), os.path.join(self._staging, name))
        except OSError:
            # --local_tmp_path is on another filesystem.
            check_space(self._staging, sum(model.sizes(pulled).values()), "copy to")
            for folder, below, files in os.walk(pulled):
                there = os.path.join(self._staging, os.path.relpath(folder, pulled))
                for name in below:
                    os.mkdir(os.path.join(there, name))
                for name in files:
                    copy_file(os.path.join(folder, name), os.path.join(there, name), self._alive)

    def _recover(self) -> None:
        timestamp_file = self._options.local_timestamp_file
        if recover(self._folder.live, self._folder.stagings(), timestamp_file):
            logger.warning("finished a swap that was cut off: %s", self._folder.live)

    def _put_away(self, old: Optional[str]) -> None:
        """The release that was replaced is kept, or goes."""
        if old is None:
            return
        try:
            if self._options.keep and not os.path.islink(old):
                kept.add(self._folder, old, self._options.keep)
            else:
                remove(old)
        except OSError as error:
            # The swap is done; what could not be removed is a leftover for the next start.
            logger.warning("cannot put away %s: %s", old, error.strerror)
