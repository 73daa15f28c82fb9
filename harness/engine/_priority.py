"""How threads let those that answer requests go before them, as far as the system allows.

Niceness alone does not do it on Linux:

- It counts only among the threads of a session, where each session is a group of its own for the
  scheduler (sched(7), autogroups). So a process that is to step back needs a session of its own,
  and the group has a niceness, which its processes may set and, unlike their own, take back.
- It says how much of a core somebody gets, not how soon. Since Linux 6.6 who runs finishes his
  turn, 1.4 ms on two cores, and runs on to the next tick of the clock (up to 4 ms) when nobody
  wakes then. Only from those with longer turns is the core taken at once, since Linux 6.12, where
  a thread may ask for the length of its turns (``sched_runtime`` of sched_setattr(2)).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import time
from contextlib import suppress
from pathlib import Path

# The number of sched_setattr(2), for which Python has no function, nor glibc before 2.41.
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
# size, policy, flags, nice, priority, runtime, deadline, period: the first form of sched_attr.
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
# The longest there is.
_LONG_NS = 100_000_000
_AUTOGROUP = Path("/proc/self/autogroup")
# Without rights the kernel allows all processes together ten changes a second.
_LONGEST_WAIT_S = 2.0
_PAUSE_S = 0.02


class Group:
    """The calling process's group for the scheduler, its own from now on."""

    def __init__(self) -> None:
        with suppress(OSError):
            os.setsid()
        self._back = False

    def step_back(self, niceness: int) -> None:
        """Everybody else's requests go before what this process does."""
        with suppress(OSError):
            _AUTOGROUP.write_text(str(niceness))
            self._back = True

    def come_forward(self) -> None:
        """Takes ``step_back`` back; without rights that can take a tenth of a second."""
        end = time.monotonic() + _LONGEST_WAIT_S
        while self._back and time.monotonic() < end:
            try:
                _AUTOGROUP.write_text("0")
                self._back = False
            except BlockingIOError:
                time.sleep(_PAUSE_S)
            except OSError:
                return


def step_back(niceness: int) -> None:
    """Puts the calling thread, and those it starts, behind others: ``niceness`` is added to its
    own, it wakes without pushing anybody aside, and its turns are long.

    There is no way back from it without rights.
    """
    with suppress(OSError):
        os.nice(niceness)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    long_turns()


def long_turns() -> None:
    """Lets everybody who wakes take the core from the calling thread, which gets no less of it."""
    _ask_for_turns(_LONG_NS)


def usual_turns() -> None:
    """Takes ``long_turns`` back."""
    _ask_for_turns(0)


def _ask_for_turns(nanoseconds: int) -> None:
    if _SCHED_SETATTR is None:
        return
    with suppress(OSError):
        policy, niceness = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
        asked = _SCHED_ATTR.pack(_SCHED_ATTR.size, policy, 0, niceness, 0, nanoseconds, 0, 0)
        # What the kernel does not know, or forbids, stays as it was.
        ctypes.CDLL(None).syscall(_SCHED_SETATTR, 0, asked, 0)
