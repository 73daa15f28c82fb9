"""Keeps bad releases out."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Callable, Optional

from ..decisions.identity import Identity
from ..disk import machine_error, remove
from ..errors import ReleaseError
from ..live.layout import Layout
from ..live.state import Quarantine, read_quarantine, write_quarantine
from ..log import logger
from ..options.fields import Options
from ..release.model import read_signature


class Refusals:
    """The quarantine of one live directory. It holds one release."""

    def __init__(self, options: Options, layout: Layout, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds since the epoch."""
        self._options = options
        self._layout = layout
        self._clock = clock

    def read(self) -> Optional[Quarantine]:
        """Return the release in quarantine, whether or not it still has to stay out."""
        return read_quarantine(self._layout.quarantine)

    def covers(self, bad: Quarantine, identity: Optional[Identity]) -> bool:
        """Return whether ``identity`` is the release in quarantine and still has to stay out."""
        return bad.covers(identity, self._rules(), self._clock(), self._options.quarantine_retry)

    def add(
        self, identity: Identity, error: ReleaseError, *, proven: bool, tarball: Optional[str]
    ) -> None:
        """Put a release into quarantine.

        Args:
            identity: The release.
            error: What is wrong with it.
            proven: Whether a digest proves that its bytes are complete. If not, the release is
                pulled again after ``--quarantine_retry``.
            tarball: The SHA-256 of its tarball; None if it did not come whole.

        Raises:
            MachineError: The file cannot be written.
        """
        until = None if proven else self._clock() + self._options.quarantine_retry
        self._write(Quarantine(identity, str(error), until, self._rules(), tarball))

    def announced_again(self, bad: Quarantine, identity: Identity) -> None:
        """Let the quarantine apply to another announcement of the same tarball.

        Raises:
            OSError: The file cannot be written.
        """
        write_quarantine(self._layout.quarantine, replace(bad, identity=identity))

    def end(self) -> None:
        """Forget the release in quarantine, because another one is live."""
        path = self._layout.quarantine
        try:
            remove(path)
        except OSError as error:
            # The file names another release, so it stops nothing.
            logger.warning("cannot remove %s: %s", path, error.strerror)

    def _write(self, bad: Quarantine) -> None:
        path = self._layout.quarantine
        try:
            write_quarantine(path, bad)
        except OSError as error:
            raise machine_error("write", path, error, "check space and permissions") from error

    def _rules(self) -> str:
        """Hash the options that affect verification: a quarantine ends when the hash changes."""
        o = self._options
        # A release may be refused because its feeds differ from those of the running model.
        running = None if o.allow_signature_change else read_signature(self._layout.live)
        rules = (
            o.top, o.allow_signature_change, o.check_command, o.max_members, o.max_unpacked,
            o.max_expansion, o.remote_model_name, running, o.allow_ambiguous_model,
            o.require_manifest,
        )  # fmt: skip
        return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]
