"""Samples memory, files, threads and CPU time of server and monitor, and writes the samples.

A sample is the sum over a process and all processes that it started. A server may replace a worker
process at each reload, and a monitor may start a program for each poll. One thread reads ``/proc``
every ``EVERY_S`` seconds, so at least one sample lies between two reloads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Callable, Optional

from harness.checker.history import History
from harness.support.errors import Failed
from harness.support.repeater import Repeater
from harness.support.usage import usage

# Half of the shortest tick.
EVERY_S = 0.5


class Sampler:
    """Samples the parts of one remote's leg until ``stop``. Each sample is an event ``resources``.

    Args:
        history: Receives the events.
        remote: The name of the leg's remote.
        parts: For each part a function that returns the process ids of its tree, the first process
            first. A part without process ids is left out.
        bytes_sent: Returns the bytes that the remote has sent so far; None if nothing counts.
    """

    def __init__(
        self,
        history: History,
        remote: str,
        parts: Mapping[str, Callable[[], Sequence[int]]],
        bytes_sent: Callable[[], Optional[int]] = lambda: None,
    ) -> None:
        self._history = history
        self._remote = remote
        self._parts = parts
        self._bytes_sent = bytes_sent
        self._repeater = Repeater(self._sample, EVERY_S, f"sample {remote}")

    def start(self) -> None:
        """Start to sample."""
        self._repeater.start()

    def stop(self) -> None:
        """Sample a last time and end. Safe to repeat."""
        self._repeater.stop()
        # A full disk ends the run elsewhere. Without samples their claims are unknown.
        with contextlib.suppress(Failed):
            self._repeater.check()

    def _sample(self) -> None:
        for part, pids_of in self._parts.items():
            pids = pids_of()
            seen = usage(pids)
            if seen is None:
                continue
            fields = {name: value for name, value in vars(seen).items() if value is not None}
            sent = self._bytes_sent() if part == "monitor" else None
            if sent is not None:
                fields["bytes"] = sent
            self._history.record("resources", remote=self._remote, part=part, pid=pids[0], **fields)
