"""What the live screen knows: the history, two logs, and what the supervisor replies."""

from __future__ import annotations

import re
import time
from collections import deque
from pathlib import Path
from typing import Optional

from harness.checker.history import Event
from harness.run.observe import Tail
from harness.support.errors import BadInput, Failed, HarnessError

from .follow import Follower
from .place import NothingUp, Place, Reply
from .rows import monitor_says
from .ticks import Ticks
from .view import View

# The fault of the key "break", and the damage of the key "bad one".
FAULT = "refuse"
DAMAGE = "corrupt"
_HAPPENED = 500
# The supervisor's lines begin with the time and, mostly, with the remote's name.
_STAMP = re.compile(r"^\[ *[0-9.]+ s\] (\w+: )?")


class Desk:
    """The state of a run by hand, for the live screen.

    Args:
        place: Where the supervisor answers.
        releases: How many good releases the main job has.
        every_s: The seconds between two of these releases.

    Attributes:
        state: The supervisor's last reply to ``status``.
        happened: What happened, a line each, the last one last.
        error: Why the parts are gone; None while the supervisor works.
    """

    def __init__(self, place: Place, *, releases: int, every_s: float) -> None:
        self.releases = releases
        self.state: Reply = {"ready": False}
        self.happened: deque[str] = deque(maxlen=_HAPPENED)
        self.error: Optional[str] = None
        self.ticks: Optional[Ticks] = None
        # How many lines were ever added to ``happened``, which keeps only the last.
        self.count = 0
        self._place = place
        self._every_s = every_s
        self._began = time.monotonic()
        self._follower = Follower(place.history)
        self._log = Tail(place.log)
        # The releases that all clients got at the same time, and the last of them.
        self._served: set[int] = set()
        self._serving = 0
        # How many releases of the main job are published, and the number of the last one.
        self._asked = 0
        self._last = 1
        self._due = 0.0

    @property
    def view(self) -> View:
        """Return what the history shows."""
        return self._follower.view

    @property
    def seconds(self) -> float:
        """Return how long the desk exists."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Add a line to what happened."""
        self.happened.append(f"{self.seconds:6.1f} s  {text}")
        self.count += 1

    def read(self) -> None:
        """Take in what was added to the history and the logs."""
        for line in self._log.new_lines():
            if line.startswith("harness: "):
                self.error = line[len("harness: ") :]
            else:
                self.say(_STAMP.sub("", line))
        for event in self._follower.update():
            self._tell(event)
        if self.ticks is not None:
            self.ticks.update(time.monotonic())
        live = self.view.live
        if live and live != self._serving and self.view.served_by_all(live):
            self._serving = live
            self._served.add(live)
            self.say(f"all clients get release {live}")

    def _tell(self, event: Event) -> None:
        kind = event["event"]
        if kind == "swapped" and self.view.live:
            self.say(f"the live directory is release {self.view.live}")
        elif kind == "server_log" and "Finish reload" in event["line"]:
            self.say("the server has reloaded")
        elif kind == "monitor_log" and (" WARNING " in event["line"] or " ERROR " in event["line"]):
            self.say(f"monitor: {monitor_says(event['line'])}")

    def ask_state(self) -> None:
        """Ask the supervisor for its state; takes up to some seconds."""
        try:
            state = self._place.ask("status", announced=True)
        except NothingUp:
            if self.state["ready"]:
                self.error = "the supervisor has ended"
            return
        except (Failed, BadInput) as error:
            self.error = str(error)
            return
        if state["ready"] and self.ticks is None:
            self.ticks = Ticks(Path(state["folders"]["server's log"]))
            self._asked = 1
            self._due = time.monotonic() + self._every_s
        self.state = state

    @property
    def job(self) -> str:
        """Return how far the main job is, in words."""
        if not self.state["ready"]:
            return "the parts start"
        if self.finished:
            return "the main job is done; q ends and gives the verdict"
        return f"the main job has published {self._asked} of {self.releases} releases"

    @property
    def due(self) -> bool:
        """Return whether the main job publishes its next release now."""
        return bool(
            self.state["ready"]
            and self._asked < self.releases
            and not self.state["queued"]
            and time.monotonic() >= self._due
        )

    @property
    def finished(self) -> bool:
        """Return whether the last release of the main job was served to all clients."""
        return self._asked >= self.releases and self._last in self._served

    def publish_next(self) -> None:
        """Publish the next release of the main job."""
        self._due = time.monotonic() + self._every_s
        reply = self.ask("publish", bad="")
        if reply:
            self._last = int(reply["release"] if "release" in reply else reply["pending"])
            self._asked += 1

    def ask(self, do: str, **fields: object) -> Reply:
        """Ask the supervisor to do something, and return its reply.

        After an error the reply is empty, and ``happened`` has a line about the error.
        """
        try:
            return self._place.ask(do, **fields)
        except HarnessError as error:
            self.say(str(error).splitlines()[0])
            return {}
