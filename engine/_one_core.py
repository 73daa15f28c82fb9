"""Two threads that work in turns, on one core as long as one of them waits for the other.

Linux wakes a thread on an idle core where there is one, even when who wakes it is about to sleep.
An idle core sleeps as well, and to wake one takes a virtual machine longer than a small model
runs, on the way there and on the way back; on the asker's own core the other thread has the
question at once. So the other one follows the asker from core to core, and for the answer the asker
stays where it is.
"""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from types import TracebackType
from typing import Optional

# Of a wait that is longer, waking a core is a small part; and in so long a time the scheduler may
# find a better core for the one who works.
_WORTH_S = 0.005
_NONE = -1
# Not of ``CDLL``, which would let go of the interpreter's lock for next to no time.
_current_core = ctypes.PyDLL(None).sched_getcpu


class OneCore:
    """A context in which the calling thread asks ``thread`` (of any process, by its number in the
    system) and waits for it.

    What the system does not allow is left: then they run as it sees fit. Outside, the calling
    thread may run wherever it might before, or wherever somebody else has put it meanwhile.
    Threads that the other one starts may run only where it may just then.
    """

    def __init__(self, thread: int) -> None:
        self._thread = thread
        # Where the other one has to run.
        self._core = _NONE
        self._allowed: Optional[set[int]] = None
        self._since = 0.0
        self._worth = True

    def __enter__(self) -> None:
        self._since = time.monotonic()
        with suppress(OSError):
            # Anew each time: somebody may have changed it.
            allowed = os.sched_getaffinity(0)
            core = _current_core() if self._worth else _NONE
            if core != self._core:
                os.sched_setaffinity(self._thread, allowed if core == _NONE else (core,))
                self._core = core
            if core != _NONE and len(allowed) > 1:
                self._allowed = allowed
                os.sched_setaffinity(0, (core,))

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        allowed, self._allowed = self._allowed, None
        if allowed is not None:
            with suppress(OSError):
                if os.sched_getaffinity(0) == {self._core}:
                    os.sched_setaffinity(0, allowed)
        self._worth = time.monotonic() - self._since < _WORTH_S
