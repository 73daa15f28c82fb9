"""Tells ``--event_file`` how the work on the announced release goes."""

from __future__ import annotations

from typing import Any, Optional

from ..decisions.identity import Identity
from ..decisions.machine import Row
from ..decisions.moments import TO_INSTALL, Moment, moment_after
from ..live.state import Installed
from ..options.fields import Options
from .announcer import Announced
from .events import EventFile
from .pull import Puller
from .reporter import Reporter


class Telling:
    """The moments of one model's releases, as the event file gets them."""

    def __init__(self, options: Options, reporter: Reporter, puller: Puller) -> None:
        self._file = EventFile(options.event_file, options.local_model_name)
        self._reporter = reporter
        self._puller = puller
        # The release that the file has seen last.
        self._seen: Optional[Identity] = None
        self._bytes_before = 0

    def check(self) -> None:
        """Raise ``BadOption`` if the file cannot be written."""
        self._file.check()

    def pulling(self) -> None:
        """Count the bytes of a pull from here."""
        self._bytes_before = self._reporter.figures.bytes_pulled

    def swapped(self, announced: Announced, before: Optional[Identity], after: Installed) -> None:
        """Write that the announced release took the place of ``before``."""
        replaced = before.release if before else None
        self._write(Moment.SWAPPED, announced, second=after.second, replaced=replaced)

    def ended(self, row: Row, announced: Optional[Announced]) -> None:
        """Write how a state ended, if that is a moment of a release."""
        moment = moment_after(row)
        if row.event in TO_INSTALL and announced and announced.identity != self._seen:
            self._seen = announced.identity
            self._write(Moment.SEEN, announced)
        elif moment is Moment.PULLED:
            count = self._reporter.figures.bytes_pulled - self._bytes_before
            self._write(moment, announced, bytes=count)
        elif moment in (Moment.FAILED, Moment.QUARANTINED):
            why = str(self._reporter.error or row.event.value)
            self._write(moment, announced, state=row.state.name, why=why)
        elif moment is not None:
            self._write(moment, announced)

    def _write(self, moment: Moment, announced: Optional[Announced], **more: Any) -> None:
        if announced is None:
            self._file.write(moment, **more)
            return
        found = announced.manifest
        sha256 = found.sha256 if found else self._puller.digest
        self._file.write(moment, announced.identity, sha256, **more)
