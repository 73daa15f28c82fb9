"""What one watched model says: log lines that come once, figures, and the last error."""

from __future__ import annotations

from typing import Optional

from ..decisions.identity import Identity
from ..decisions.machine import Event
from ..decisions.moments import TO_INSTALL
from ..decisions.orders import Orders
from ..decisions.pauses import shown
from ..errors import MonitorError, ReleaseError, RemoteError
from ..live.watched import watched_time_files
from ..log import logger
from ..options.fields import Options
from .figures import Figures


class Reporter:
    """Says what happens to one model, and remembers what it has said.

    Attributes:
        figures: The numbers for ``/metrics`` and ``/healthz``.
        error: Why the last poll installed nothing; None if nothing went wrong.
    """

    def __init__(self, options: Options) -> None:
        self.figures = Figures()
        self.error: Optional[MonitorError] = None
        self._options = options
        self._warned_no_manifest = False
        self._warned_of_time_file = False
        # The last donefile for which the log says that its manifest is gone.
        self._warned_manifest_gone: Optional[Identity] = None
        self._said: set[str] = set()
        # The donefile that ``--verify_signature`` refuses now, and why.
        self._untrusted: Optional[tuple[bytes, str]] = None

    def options(self, of_remote: list[tuple[str, str]]) -> None:
        """Log the options in the order of upstream's page, those of the remote first."""
        options = self._options
        for name, value in of_remote:
            logger.info("%s: %s", name, value)
        for name in ("remote_path", "remote_model_name", "remote_donefile_name"):
            logger.info("_%s: %s", name, getattr(options, name))
        for name in ("local_model_name", "local_path", "local_timestamp_file", "local_tmp_path"):
            logger.info("_%s: %s", name, getattr(options, name))
        logger.info("_interval: %s", shown(options.interval))

    def once(self, key: str, text: str) -> None:
        """Log a warning, unless this release had one with the same key."""
        if key not in self._said:
            self._said.add(key)
            logger.warning("%s", text)

    def new_release(self) -> None:
        """Let each warning of ``once`` come again."""
        self._said.clear()

    def failed(self, error: MonitorError) -> None:
        """Log and count a failure of the remote or of this machine."""
        self.error = error
        self.figures.last_error = str(error)
        self.figures.failures_in_a_row += 1
        if isinstance(error, RemoteError):
            self.figures.failures_remote += 1
            logger.warning("%s", error)
        else:
            self.figures.failures_machine += 1
            logger.error("%s", error)
        if self._options.debug:
            logger.debug("traceback", exc_info=True)

    def swapped(self, identity: Identity, now: float) -> None:
        """Count a swap to a release. ``now`` is in seconds since the epoch."""
        figures = self.figures
        figures.swaps += 1
        figures.failures_in_a_row = 0
        figures.last_swap = now
        if identity.release is not None:
            figures.release = identity.release

    def quarantined(self, identity: Identity, error: ReleaseError, *, proven: bool) -> None:
        """Log and count a bad release.

        Args:
            identity: The release.
            error: What is wrong with it.
            proven: Whether a digest proves that its bytes are complete.
        """
        self.error = error
        self.figures.last_error = str(error)
        self.figures.failures_release += 1
        self.figures.quarantined = 1
        then = "until the donefile changes"
        if not proven:
            then += f", at least {shown(self._options.quarantine_retry)} s"
        logger.error("%s is quarantined %s: %s", identity.label, then, error)

    def stays_out(self, reason: str) -> None:
        """Log once why the announced release is not installed."""
        self.once("quarantined", f"the announced release stays in quarantine: {reason}")
        self.error = ReleaseError(
            "install", "the announced release", reason, "publish another release"
        )

    def trust(self, donefile: bytes, refused: Optional[ReleaseError]) -> None:
        """Log and count a refused donefile once; None for a donefile that is not refused."""
        self.figures.untrusted = int(refused is not None)
        before = self._untrusted
        self._untrusted = None if refused is None else (donefile, str(refused))
        if refused is None:
            return
        self.error = refused
        if self._untrusted != before:
            self.figures.last_error = str(refused)
            self.figures.failures_release += 1
            logger.error("%s", refused)

    def judged(self, event: Event) -> None:
        """Show in the metrics what a look at the donefile means."""
        self.figures.quarantined = int(event is Event.QUARANTINED)
        self.figures.held_back = int(event is Event.HELD)
        # A release that is still to come does not end a row of failures.
        if event not in TO_INSTALL:
            self.figures.failures_in_a_row = 0

    def orders(self, orders: Orders) -> None:
        """Show the orders that are in force in the metrics."""
        self.figures.on_hold = int(orders.hold is not None)
        self.figures.pinned = -1 if orders.pin is None else orders.pin.release

    def forbidden(self, event: Event, orders: Orders) -> None:
        """Log once which order keeps the announced release out."""
        order = f"on hold {orders.hold}" if event is Event.ON_HOLD else f"pinned to {orders.pin}"
        self.once(order, f"the announced release is not installed: {self._options.live} is {order}")

    def no_manifest(self, identity: Identity, size: int, installed: Optional[Identity]) -> None:
        """Warn once that releases are not checked.

        If the installed release came with a manifest, warn at each donefile with bytes instead.

        Args:
            identity: What the donefile announces.
            size: The donefile's length in bytes.
            installed: The installed release.
        """
        options = self._options
        if size and installed is not None and installed.release is not None:
            if identity != self._warned_manifest_gone:
                self._warned_manifest_gone = identity
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

    def unwatched_time_file(self) -> None:
        """Warn once if the server of the live directory watches another file."""
        if self._warned_of_time_file:
            return
        ours, watched = self._options.local_timestamp_file, watched_time_files(self._options.live)
        if watched and ours not in watched:
            self._warned_of_time_file = True
            name, path = next(iter(watched.items()))
            logger.warning(
                "the server will not reload: %s says that it watches %s, and "
                "--local_timestamp_file is %s; use --local_timestamp_file=%s",
                path, name, ours, name,
            )  # fmt: skip
