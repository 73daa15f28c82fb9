"""What the history of one leg shows so far: a fold over its events, without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from harness.checker.history import Event
from harness.checker.leg_history import same
from monitor.decisions.machine import State
from monitor.decisions.moments import Moment

RTOL = 1e-5
# The rate counts the requests of the last seconds, this many.
RATE_WINDOW_S = 5.0
# How many predictions a client keeps for the chart.
_KEPT = 400
# What the monitor's log says when it enters a state.
_SAYS = (
    ("] sleep ", State.IDLE),
    ("doneilfe(", State.CHECK),
    ("pull remote model(", State.PULL),
    ("unpack remote file(", State.VERIFY),
    ("using unpacked filename", State.STAGE),
    ("update local model(", State.SWAP),
)
# The state that ends with a moment of our monitor's event file.
_ENDS = {
    Moment.SEEN: State.CHECK,
    Moment.PULLED: State.PULL,
    Moment.VERIFIED: State.VERIFY,
    Moment.STAGED: State.STAGE,
    Moment.SWAPPED: State.SWAP,
}


class Published(NamedTuple):
    """A release that the producer has published; ``bad`` says how the release was damaged."""

    number: int
    expected: Sequence[float]
    digest: str
    bad: str
    t: float

    @property
    def label(self) -> str:
        """Return what people call the release."""
        return f"release {self.number}" + (f" (bad: {self.bad})" if self.bad else "")


class Answer(NamedTuple):
    """An answer to a client: the release that predicts ``value``, 0 for none."""

    t: float
    value: float
    release: int


@dataclass
class ClientView:
    """What one client has asked so far."""

    # How many requests the client has sent.
    asked: int = 0
    # How many requests failed.
    failed: int = 0
    # Why the last failed request failed; empty if none failed.
    error: str = ""
    # The times of the last failures.
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    # The last answers.
    answers: deque[Answer] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def last(self) -> Optional[Answer]:
        """Return the last answer."""
        return self.answers[-1] if self.answers else None


@dataclass
class View:
    """The state of a leg, as far as its history tells.

    Attributes:
        published: The releases by number.
        live: The release in the live directory; 0 if its files are no release's.
        swapped: When the live directory changed last.
        reloading: Whether the server reloads now.
        loaded: When the server ended its last reload.
        monitor_line: The last line of the monitor's log.
        monitor_state: What the monitor does now.
        entered: When the monitor entered each state last.
        clients: The clients by name.
        first, last: The times of the first and the last event.
    """

    published: dict[int, Published] = field(default_factory=dict)
    live: int = 0
    swapped: float = 0.0
    reloading: bool = False
    loaded: float = 0.0
    monitor_line: str = ""
    monitor_state: State = State.IDLE
    entered: dict[State, float] = field(default_factory=dict)
    clients: dict[str, ClientView] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    # The digest of the files in the live directory.
    _digest: str = ""
    # The last requests of all clients: time, and whether the request failed.
    _recent: deque[tuple[float, bool]] = field(default_factory=deque)

    @property
    def newest(self) -> Optional[Published]:
        """Return the release that was published last."""
        return self.published[max(self.published)] if self.published else None

    @property
    def asked(self) -> int:
        """Return the number of requests that have ended."""
        return sum(client.asked for client in self.clients.values())

    @property
    def failed(self) -> int:
        """Return the number of requests that have failed."""
        return sum(client.failed for client in self.clients.values())

    def rate(self, now: float) -> float:
        """Return the answered requests a second in the ``RATE_WINDOW_S`` seconds before ``now``."""
        good = [t for t, failed in self._recent if t > now - RATE_WINDOW_S and not failed]
        return len(good) / RATE_WINDOW_S

    def served_by_all(self, release: int) -> bool:
        """Return whether every client's last answer comes from the release."""
        last = [client.last for client in self.clients.values()]
        return bool(last) and all(answer and answer.release == release for answer in last)

    def release_of(self, value: Sequence[float]) -> int:
        """Return the newest release with this prediction; 0 if there is none."""
        for number in sorted(self.published, reverse=True):
            if same(value, self.published[number].expected, RTOL):
                return number
        return 0

    def take(self, event: Event) -> None:
        """Take in the next event of the history."""
        kind = event["event"]
        if "t" in event:
            self.first = self.first or event["t"]
            self.last = max(self.last, event["t"])
        if kind == "published":
            number = int(event["release"])
            self.published[number] = Published(
                number, event["expected"], event["digest"], event.get("bad", ""), event["t_end"]
            )
            # The observer may see a release before the producer reports it as published.
            self._find_live()
        elif kind == "swapped":
            self._digest, self.swapped = event["digest"], event["t"]
            self._find_live()
        elif kind == "server_log":
            self._take_server_line(event)
        elif kind == "monitor_log":
            self._take_monitor_line(event)
        elif kind == "monitor_event":
            # The log has no line for each state, and other monitors have no event file.
            for moment, state in _ENDS.items():
                if event["what"] == moment.name.lower():
                    self.entered[state] = max(event["t"], self.entered.get(state, 0.0))
        elif kind == "prediction":
            self._take_prediction(event)

    def _find_live(self) -> None:
        releases = self.published.values()
        found = [one.number for one in releases if one.digest and one.digest == self._digest]
        self.live = found[-1] if found else 0

    def _take_monitor_line(self, event: Event) -> None:
        line = self.monitor_line = event["line"]
        for text, state in _SAYS:
            if text in line:
                if state is State.IDLE:
                    # The monitor reads the donefile just before it sleeps again.
                    self.entered[State.CHECK] = event["t"]
                self.monitor_state = state
                self.entered[state] = event["t"]
                return

    def _take_server_line(self, event: Event) -> None:
        if "begin reload model[" in event["line"]:
            self.reloading = True
        elif "Finish reload" in event["line"]:
            self.reloading, self.loaded = False, event["t"]

    def _take_prediction(self, event: Event) -> None:
        client = self.clients.setdefault(event["client"], ClientView())
        client.asked += 1
        value = event.get("value")
        t = event["answered"]
        self._recent.append((t, value is None))
        while self._recent and self._recent[0][0] < t - RATE_WINDOW_S:
            self._recent.popleft()
        if value is None:
            client.failed += 1
            client.error = event.get("error", "")
            client.failures.append(t)
            return
        client.answers.append(Answer(t, value[0], self.release_of(value)))
