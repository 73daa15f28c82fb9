"""Installs a pulled release: verifies it, completes it and swaps it in.

``watch`` decides when. A step that fails raises ``ReleaseError``, ``MachineError`` or ``OSError``.
The live directory is then as before, unless a swap without an exchange failed (``live.fallback``).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

from ..decisions.identity import Identity
from ..decisions.machine import Event
from ..disk import check_space, copy_file, remove
from ..errors import MachineError, ReleaseError
from ..live.layout import NEW, STATE, Layout
from ..live.ownership import Ownership
from ..live.recovery import Done, Mended, When, is_cut_off, recover
from ..live.replace import replace_live
from ..live.staging import complete
from ..live.state import Installed, read_hold, read_orders
from ..log import logger
from ..manifest import Manifest
from ..options.fields import Options
from ..release import archive, case, model
from ..release.stream import Readable
from ..stop import Stop
from . import hook
from .unpacking import Unpacking


class Install:
    """Brings one release after another into one live directory."""

    def __init__(
        self,
        options: Options,
        layout: Layout,
        ownership: Ownership,
        stop: Stop,
        alive: Callable[[], None],
    ) -> None:
        """``alive`` is called for each piece of work, and may raise ``Stopped``."""
        self._options = options
        self._layout = layout
        self._ownership = ownership
        self._stop = stop
        self._alive = alive
        self._staging = ""
        self._unpacking: Optional[Unpacking] = None
        self._limits = archive.Limits(
            options.max_members, options.max_unpacked, options.max_expansion
        )
        self._last_second: Optional[int] = None
        # Held while the exchange may happen. Its holder may remove the staging folder.
        self._hands = threading.Lock()

    def begin_unpacking(self, size: int, proven: bool) -> Unpacking:
        """Begin to unpack a tarball of ``size`` bytes that is not here yet.

        Args:
            size: The tarball's length.
            proven: A manifest's digest will prove its bytes.

        Raises:
            OSError: The staging folder cannot be made.
            MachineError: The system allows no thread.
        """
        options, staging = self._options, self._new_staging()
        files: dict[str, int] = {}

        def before_file(member: archive.Member) -> None:
            check_space(staging, member.size, "unpack into")
            files[member.path] = member.size

        def unpack(file: Readable) -> archive.Skipped:
            return archive.unpack_stream(
                file, options.remote_model_name, size, staging,
                top=options.top, limits=self._limits, proven=proven,
                before_file=before_file, alive=self._alive,
            )  # fmt: skip

        try:
            return Unpacking(staging, unpack, self._stop, files)
        except RuntimeError as error:
            remove(staging)
            raise MachineError(
                "unpack into", staging, error, "raise the limit of threads of this process"
            ) from None

    def verify(
        self, part: str, tree_part: str, unpacking: Optional[Unpacking], *, proven: bool
    ) -> None:
        """Check that the release is a model. Bring it into a staging folder, unless it is in one.

        Args:
            part: The pulled tarball.
            tree_part: The pulled folder, for a release that is a folder.
            unpacking: The staging folder, for a tarball that was unpacked while it arrived. It is
                left to the caller unless it is swapped in.
            proven: A manifest's digest proves the bytes of the tarball.

        Raises:
            ReleaseError: The release is bad.
            MachineError: Another program changed the staging folder.
        """
        options, name = self._options, self._options.remote_model_name
        self._unpacking = unpacking
        self._staging = unpacking.folder if unpacking else self._new_staging()
        if unpacking is not None:
            # After a failed swap it has the mode of the live directory, which may be read-only.
            os.chmod(self._staging, 0o700)
            self._say_unpacking()
            if unpacking.refusal is not None:
                raise unpacking.refusal
            self._check_whole(unpacking)
            self._say_unpacked(unpacking.skipped)
        elif options.packed:
            self._unpack(part, proven)
        else:
            # Before the move, because a copy to another filesystem would follow a link.
            model.check_regular(name, tree_part)
            self._move_tree(tree_part)
        for ours in (options.local_timestamp_file, STATE, f"{STATE}{NEW}"):
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
            running = model.read_signature(self._layout.live)
        model.check_signature(name, new, running)

    def stage(
        self, identity: Identity, manifest: Optional[Manifest], donefile: bytes, part: str
    ) -> None:
        """Run ``--check_command``, then bring the files of the staging folder to disk."""
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
        complete(self._staging, self._layout.live, self._alive)

    def swap(
        self,
        identity: Identity,
        tarball: Optional[str],
        now: float,
        probe: Optional[dict[str, Any]] = None,
        swapped: Callable[[Installed], None] = lambda _: None,
    ) -> Union[int, Event]:
        """Make the staging folder the live directory.

        Args:
            identity: The announced release.
            tarball: The SHA-256 of the unpacked tarball; None for a folder.
            now: The present time, in seconds since the epoch.
            probe: The manifest's probe, if it is kept.
            swapped: Called once the release is live. May not raise.

        Returns:
            The time file's second; or what keeps the release out, if a person held it back in the
            meantime.
        """
        options = self._options
        with self._ownership.swapping(), self._hands:
            self._stop.check()
            hold = read_hold(self._layout.hold)
            if hold is not None and hold.identity == identity:
                return Event.HELD
            forbidden = read_orders(self._layout.orders).forbids(identity, now)
            if forbidden is not None:
                return forbidden
            self._recover(When.SWAP)
            installed = replace_live(
                self._layout,
                self._staging,
                Installed(identity, None, now, tarball, probe),
                options.local_timestamp_file,
                keep=options.keep,
                last_second=self._last_second,
                alive=self._alive,
                swapped=swapped,
            )
            self._staging = ""
            if self._unpacking is not None:
                # After the exchange, this path leads to the replaced release.
                self._unpacking.release()
            self._last_second = installed.second
        assert installed.second is not None
        return installed.second

    def drop(self) -> None:
        """Remove a staging folder that was not swapped in."""
        staging, self._staging = self._staging, ""
        unpacking, self._unpacking = self._unpacking, None
        if staging and unpacking is None:
            try:
                remove(staging)
            except OSError as error:
                logger.warning("cannot remove %s: %s", staging, error.strerror)

    def abandon(self, unpacking: Optional[Unpacking]) -> None:
        """Do what ``drop`` does while another thread may be at work, unless it is in the swap.

        ``unpacking`` is the staging folder of a pull that may not be complete. It is removed, too.
        """
        # Deliberately never released: no later swap may start.
        if not self._hands.acquire(blocking=False):
            return
        for staging in (self._staging, unpacking.folder if unpacking else ""):
            if staging:
                with contextlib.suppress(OSError):
                    remove(staging)

    def is_left(self) -> bool:
        """Return whether a killed rollback or swap left something that has to be mended."""
        return is_cut_off(self._layout)

    def mend(self, *, clear: bool, ours: Optional[Unpacking]) -> None:
        """Finish what a kill cut off. With ``clear``, also remove what an earlier run left.

        ``ours`` is the staging folder of a pull that goes on.

        Raises:
            OSError: Something could not be done. It can be tried again.
        """
        # Without the lock, this would remove the staging folder of a running rollback.
        options = self._options
        with self._ownership.swapping():
            if clear:
                part = self._layout.part(options.tmp, options.remote_model_name)
                folder = ours.folder if ours else ""
                self._recover(When.START, self._layout.pulled(part), folder)
            else:
                self._recover(When.POLL)

    def _unpack(self, part: str, proven: bool) -> None:
        options = self._options
        self._say_unpacking()
        try:
            skipped = archive.unpack(
                part,
                self._staging,
                top=options.top,
                limits=self._limits,
                proven=proven,
                before_file=lambda member: check_space(self._staging, member.size, "unpack into"),
                alive=self._alive,
            )
        except ReleaseError as error:
            raise ReleaseError(
                "unpack", options.remote_model_name, error.cause, error.hint
            ) from error
        self._say_unpacked(skipped)

    def _say_unpacking(self) -> None:
        logger.info("unpack remote file(%s).", self._options.remote_model_name)

    def _say_unpacked(self, skipped: archive.Skipped) -> None:
        options = self._options
        if skipped.outside or skipped.macos:
            logger.info(
                "skipped in %s: %d outside %s, %d that macOS added.",
                options.remote_model_name, skipped.outside, options.top, skipped.macos,
            )  # fmt: skip
        logger.info("using unpacked filename: %s.", options.top)

    def _new_staging(self) -> str:
        staging = self._layout.staging()
        # For this user only, until it is complete.
        os.mkdir(staging, 0o700)
        return staging

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

    def _check_whole(self, unpacking: Unpacking) -> None:
        """Compare the staging folder with what was unpacked.

        While a pull is paused, another program may change the folder.
        """
        ours = (self._options.local_timestamp_file, STATE, f"{STATE}{NEW}")
        there = model.sizes(unpacking.folder)
        changed = {
            path
            for path in {*there, *unpacking.files}
            if path not in ours and there.get(path) != unpacking.files.get(path)
        }
        if changed:
            raise MachineError(
                "use",
                os.path.join(unpacking.folder, min(changed)),
                "another program removed or changed it",
                "let no other program write there",
            )

    def _recover(self, until: When, pulled: Sequence[str] = (), spare: str = "") -> None:
        timestamp_file = self._options.local_timestamp_file
        recover(
            self._layout, timestamp_file,
            until=until, pulled=pulled, spare=spare, keep=self._options.keep,
            mended=self._say_mended,
        )  # fmt: skip

    def _say_mended(self, one: Mended) -> None:
        if one.finished:
            logger.warning("finished a swap that was cut off: %s", self._layout.live)
        elif one.done is Done.KEEP:
            logger.warning("kept what a rollback that was cut off left: %s", one.path)
        elif one.done is Done.PUT_AWAY and self._options.keep:
            logger.warning("kept what a swap that was cut off replaced: %s", one.path)
        elif one.done in (Done.REMOVE, Done.PUT_AWAY):
            logger.debug("removed what an earlier run left: %s", one.path)
