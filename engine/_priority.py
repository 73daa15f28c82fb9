"""How threads let those that answer requests go before them, as far as the system allows.

Niceness alone does not do it on Linux:

- It counts only among the threads of a session, where each session is a group of its own for the
  scheduler (sched(7), autogroups). So a process that is to step back needs a session of its own,
  and the group has a niceness, which its processes may set and, unlike their own, take back.
- It says how much of a core somebody gets, not how soon. Since Linux 6.6 who runs finishes his
  turn, 1.5 ms on two cores, and runs on to the next tick of the clock (4 ms at 250 Hz) when nobody
  wakes then. Only from those with longer turns is the core taken at once, since Linux 6.12, where
  a thread may ask for the length of its turns (``sched_runtime`` of sched_setattr(2)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import time
from contextlib import suppress
from typing import Union

# The number of sched_setattr(2), for which Python has no function, nor glibc before 2.41.
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
# size, policy, flags, nice, priority, runtime, deadline, period: the first form of sched_attr.
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
_LAST = 19
# The longest there is.
_LONG_NS = 100_000_000
_AUTOGROUP = "/proc/{}/autogroup"
# Without CAP_SYS_ADMIN the kernel allows all processes together ten changes a second.
_LONGEST_WAIT_S = 5.0
_PROMPT_S = 1.0
_PAUSE_S = 0.02
# Too soon, or no descriptor and no memory to be had. All else is so for good.
_PASSES = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Group:
    """The calling process's group for the scheduler: from now on its own, where that is allowed.

    Without ``CAP_SYS_ADMIN``, which root in a container lacks as well, a change may have to wait a
    tenth of a second, longer only where others change theirs all the time. Where the kernel does
    not go by these groups (in a container's cgroup, say), nothing else comes of it.
    """

    def __init__(self) -> None:
        self._usual = _niceness()
        with suppress(OSError):
            os.setsid()
        # Nobody else's group is to be changed.
        self._own = os.getsid(0) == os.getpid()
        self._back = False
        if self._own and self._usual and not _change(self._usual, _LONGEST_WAIT_S):
            # Below 0 needs rights, which the one who set it had.
            self._usual = 0

    def step_back(self, niceness: int, *, wait_s: float = 0.0) -> None:
        """Lets everybody else's requests go before what this process does, if that can be had
        within ``wait_s``."""
        if self._own:
            self._back = _change(niceness, wait_s) or self._back

    def come_forward(self) -> None:
        """Takes ``step_back`` back."""
        if self._back:
            self._back = not _change(self._usual, _LONGEST_WAIT_S)


def bring_forward(pid: int) -> None:
    """Takes ``Group.step_back`` of the process ``pid`` back, as far as its group is its own.

    For one that cannot do it itself; the niceness that its session had before counts no more.
    """
    with suppress(OSError):
        if os.getsid(pid) == pid:
            _change(0, _PROMPT_S, pid)


def _niceness() -> int:
    with suppress(OSError, ValueError, IndexError), open(_AUTOGROUP.format("self")) as group:
        return int(group.read().split()[-1])
    return 0


def _change(niceness: int, wait_s: float, pid: Union[int, str] = "self") -> bool:
    end = time.monotonic() + wait_s
    while True:
        # In one call of the system's: what a file object could not write it writes once more.
        try:
            descriptor = os.open(_AUTOGROUP.format(pid), os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, str(niceness).encode())
                return True
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in _PASSES or time.monotonic() >= end:
                return False
        time.sleep(_PAUSE_S)


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


def last_of_all() -> None:
    """Puts every thread of the calling process behind all others, for good."""
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, int(thread), _LAST)
            os.sched_setscheduler(int(thread), os.SCHED_BATCH, os.sched_param(0))


def long_turns() -> None:
    """Lets everybody who wakes take the core from the calling thread, which gets no less of it."""
    _ask_for_turns(_LONG_NS)


def usual_turns() -> None:
    """Takes ``long_turns`` back: turns as the kernel has them for everybody."""
    _ask_for_turns(0)


def _ask_for_turns(nanoseconds: int) -> None:
    if _SCHED_SETATTR is None:
        return
    with suppress(OSError):
        policy, niceness = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
        asked = _SCHED_ATTR.pack(_SCHED_ATTR.size, policy, 0, niceness, 0, nanoseconds, 0, 0)
        # What the kernel does not know, or forbids, stays as it was.
        ctypes.CDLL(None).syscall(_SCHED_SETATTR, 0, asked, 0)
