"""Keeps what is known of an HTTP server's validators, over restarts.

``decisions.trust`` decides which validators count. This module has its file, its clock and its log
lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Callable, Optional

from ..decisions.identity import Identity
from ..decisions.pauses import shown
from ..decisions.trust import TARBALL, Trust
from ..live.layout import Layout
from ..live.state import read_trust, write_trust
from ..log import logger
from ..options.fields import Options
from ..remotes.base import Remote, Sighting


class Validators:
    """The validators of one remote.

    Attributes:
        trust: Which of them count.
    """

    def __init__(
        self, options: Options, layout: Layout, remote: Remote, clock: Callable[[], float]
    ) -> None:
        """``clock`` gives seconds since the epoch."""
        self.trust = Trust()
        self._options = options
        self._path = layout.validators
        self._remote = remote
        self._clock = clock
        origin = (
            options.remote_path, options.remote_model_name, options.remote_donefile_name,
            str(options.general_host),
        )  # fmt: skip
        self._origin = hashlib.sha256(repr(origin).encode("utf-8", "surrogateescape")).hexdigest()

    def load(self) -> None:
        """Read what an earlier run knew of the same remote."""
        self.trust = read_trust(self._path, self._origin)

    def of(self, sighting: Sighting) -> dict[str, str]:
        """Return a donefile's validators and, if they may miss a release, the tarball's."""
        found = dict(sighting.validators)
        if self.trust.may_miss(found):
            of_tarball = self._remote.peek(self._options.remote_model_name)
            found.update({f"{TARBALL}{key}": of_tarball[key] for key in of_tarball})
        return found

    def recheck_is_due(self, validators: Mapping[str, str]) -> bool:
        """Return whether it is time to compare the tarball's bytes again."""
        return self.trust.is_due(validators, self._clock(), self._options.recheck_interval)

    def swapped(
        self, identity: Identity, content: bytes, validators: Mapping[str, str], now: float
    ) -> None:
        """Note that another tarball was installed at ``now``, in seconds since the epoch."""
        self._believe(self.trust.after_swap(identity, content, validators, now))

    def held(self) -> None:
        """Note that the pulled tarball is held back by a rollback."""
        self._believe(replace(self.trust, compared=self._clock(), settled=True))

    def bad(self, content: bytes, validators: Mapping[str, str]) -> None:
        """Note that a changed validator pulled a quarantined tarball."""
        self._believe(self.trust.after_bad(content, validators, self._clock()))

    def same(
        self, live: Identity, identity: Identity, content: bytes, validators: Mapping[str, str]
    ) -> None:
        """Note that ``identity`` pulled the tarball of the installed release ``live``."""
        before = self.trust.dropped
        self._believe(self.trust.after_equal(live, identity, content, validators, self._clock()))
        new = [name for name in self.trust.dropped if name not in before]
        if new:
            logger.warning(
                "%s changed twice, but the tarball did not: ignored from now on; a change of "
                "the tarball's size or of another validator announces a release, and every %s s "
                "the tarball's bytes are compared",
                " and ".join(new),
                shown(self._options.recheck_interval),
            )

    def last_announced(self, live: Optional[Identity]) -> Optional[Identity]:
        """Return the last announcement of the installed release ``live``."""
        return self.trust.last_announced(live)

    def _believe(self, trust: Trust) -> None:
        self.trust = trust
        try:
            write_trust(self._path, self._origin, trust)
        except OSError as error:
            # Not fatal: after a restart, pulls find the same validators again.
            logger.warning("cannot write %s: %s", self._path, error.strerror)
