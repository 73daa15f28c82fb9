"""Appends the moments of a release to ``--event_file``, one JSON object a line."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Optional

from ..decisions.identity import Identity
from ..decisions.moments import Moment
from ..errors import BadOption
from ..log import logger
from ..mask import mask

SCHEMA = 1
# A pipe without a reader must not stop the monitor.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK


class EventFile:
    """The event file of one model. Several models, or processes, may share one file."""

    def __init__(self, path: str, model: str) -> None:
        """Open nothing yet.

        Args:
            path: The file; empty for none.
            model: The name of the live directory.
        """
        self._path = path
        self._model = model
        # Whether the last line is in the file only in part.
        self._torn = False
        self._warned = False

    def check(self) -> None:
        """Raise ``BadOption`` if the file cannot be written."""
        if not self._path:
            return
        try:
            os.close(os.open(self._path, _FLAGS, 0o644))
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else error
            raise BadOption(
                f"cannot write --event_file {self._path}: {cause}; check its folder and permissions"
            ) from None

    def write(
        self,
        moment: Moment,
        identity: Optional[Identity] = None,
        sha256: Optional[str] = None,
        **more: Any,
    ) -> None:
        """Append a line. A failure is logged once, and changes nothing else.

        Args:
            moment: What happened.
            identity: The release; None if none is known.
            sha256: The digest of its tarball; None if it is not known.
            more: The moment's further keys.
        """
        if not self._path:
            return
        line = {
            "schema": SCHEMA,
            "time": time.time(),
            "monotonic": time.monotonic(),
            "model": self._model,
            "event": moment.name.lower(),
            "release": identity.release if identity else None,
            "sha256": sha256,
            **{
                key: mask(value) if isinstance(value, str) else value for key, value in more.items()
            },
        }
        # A new line ends what a full disk cut off.
        text = ("\n" if self._torn else "") + json.dumps(line) + "\n"
        try:
            self._append(text.encode())
        except OSError as error:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "cannot write --event_file %s: %s; events are lost until it can be written",
                    self._path,
                    error.strerror,
                )

    def _append(self, line: bytes) -> None:
        handle = os.open(self._path, _FLAGS, 0o644)
        try:
            # One write: lines of other writers do not come in between.
            written = os.write(handle, line)
            self._torn = written < len(line)
        finally:
            with contextlib.suppress(OSError):
                os.close(handle)
        if self._torn:
            raise OSError(None, "the line was written only in part")
