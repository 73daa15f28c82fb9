"""The request to end, shared by everything that waits or takes long."""

from __future__ import annotations

import threading


class Stopped(BaseException):
    """The monitor was asked to end. Not an ``Exception``: no handler of errors may swallow it."""


class Stop:
    """The request to end. Safe to use from several threads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._alarms: list[threading.Event] = []

    def set(self) -> None:
        """Ask everything that shares this object to end."""
        self._event.set()
        for alarm in self._alarms:
            alarm.set()

    def alarm(self) -> threading.Event:
        """Return a new event, for a wait that others may end too. The end sets the event."""
        alarm = threading.Event()
        self._alarms.append(alarm)
        if self._event.is_set():
            alarm.set()
        return alarm

    @property
    def asked(self) -> bool:
        """Whether the monitor was asked to end."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise ``Stopped`` if the monitor was asked to end."""
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait. Raise ``Stopped`` as soon as the monitor is asked to end."""
        if self._event.wait(max(0.0, seconds)):
            raise Stopped
