"""Theory of operation: a few threads for many jobs that mostly wait.

A job is a call that does some work and returns the seconds until its next call. Jobs that wait are
in one heap, by the time of the next call. A thread takes the first job that is due. If no job is
due, one thread sleeps until the next job is due. The other threads sleep until a thread wakes them.

A job that takes long, such as a pull or a poll of a dead remote, must not delay the others. So
``relieve`` no longer counts a thread that is busy with one job for ``_LONG_S``, and starts another
thread in its place. There are ``size`` threads, and one more for each job that takes long.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Sequence
from typing import Callable, Optional

# Does the work. Returns the seconds until the next call, or None when the job is over.
Job = Callable[[], Optional[float]]
SIZE = 16
_LONG_S = 0.5


class Pool:
    """Threads that run ``jobs``. A job must not raise. The threads keep no process alive."""

    def __init__(
        self, jobs: Sequence[Job], *, size: int = SIZE, over: Callable[[], None] = lambda: None
    ) -> None:
        """``over`` is called when the last job is over. It must not block."""
        self._jobs = jobs
        self._size = size
        self._over = over
        self._changed = threading.Condition()
        now = time.monotonic()
        # When each job is due; None while it runs and when it is over.
        self._due: list[Optional[float]] = [now] * len(jobs)
        # The same times, each with its job's number. An entry is old if ``_due`` has another time.
        self._heap = [(now, number) for number in range(len(jobs))]
        # Jobs that were woken while they ran.
        self._woken: set[int] = set()
        # When the thread that watches the time wakes; infinity if no thread watches it.
        self._alarm = math.inf
        # Since when each thread is busy; None if it is idle, infinity if it no longer counts.
        self._threads: dict[threading.Thread, Optional[float]] = {}
        self._left = len(jobs)
        self._ended = False

    def start(self) -> None:
        """Call each job for the first time."""
        with self._changed:
            self._hire()

    @property
    def has_threads(self) -> bool:
        """Whether the system allowed a thread."""
        return bool(self._threads)

    @property
    def is_over(self) -> bool:
        """Whether all jobs are over."""
        return self._left == 0

    def wake(self, number: int) -> None:
        """Call a job at once, or again after the call that runs now. Safe in any thread."""
        with self._changed:
            if self._due[number] is None:
                self._woken.add(number)
            else:
                self._put(number, time.monotonic())
                self._changed.notify()

    def relieve(self) -> None:
        """Start threads in place of those that one job keeps busy. Call this regularly."""
        now = time.monotonic()
        with self._changed:
            for thread, since in self._threads.items():
                if since is not None and now - since > _LONG_S:
                    self._threads[thread] = math.inf
            if None not in self._threads.values():
                self._hire()

    def end(self) -> None:
        """Call no more jobs."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_ended(self) -> None:
        """Wait for the jobs that still run after ``end``."""
        for thread in list(self._threads):
            thread.join()

    def _hire(self) -> None:
        while self._counting() < self._size and len(self._threads) < self._left:
            thread = threading.Thread(target=self._work, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system allows no more threads: the jobs wait for the present ones.
                break
            self._threads[thread] = None

    def _counting(self) -> int:
        return sum(since != math.inf for since in self._threads.values())

    def _put(self, number: int, due: float) -> None:
        self._due[number] = due
        heapq.heappush(self._heap, (due, number))

    def _work(self) -> None:
        me = threading.current_thread()
        while (number := self._take(me)) is not None:
            pause = self._jobs[number]()
            with self._changed:
                if pause is None:
                    self._left -= 1
                    if not self._left:
                        self._over()
                else:
                    woken = number in self._woken
                    self._put(number, time.monotonic() + (0.0 if woken else pause))
                self._woken.discard(number)
                replaced = self._threads[me] == math.inf
                self._threads[me] = None
                if replaced and self._counting() > self._size:
                    del self._threads[me]
                    self._changed.notify()
                    break

    def _take(self, me: threading.Thread) -> Optional[int]:
        """Wait until a job is due, and return its number; None when no job is left."""
        with self._changed:
            while not self._ended and self._left:
                due, number = self._heap[0] if self._heap else (math.inf, -1)
                if number >= 0 and self._due[number] != due:
                    heapq.heappop(self._heap)
                    continue
                now = time.monotonic()
                if due <= now:
                    heapq.heappop(self._heap)
                    self._due[number] = None
                    self._threads[me] = now
                    if self._alarm == math.inf:
                        # Another thread watches the time from now on.
                        self._changed.notify()
                    return number
                if due < self._alarm:
                    self._alarm = due
                    self._changed.wait(due - now)
                    self._alarm = math.inf
                else:
                    self._changed.wait()
            self._changed.notify_all()
            return None
