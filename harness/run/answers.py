"""The answers to the clients of one server so far, read from the growing history."""

from __future__ import annotations

from pathlib import Path

from harness.checker.history import parse
from harness.checker.leg_history import same

from .observe import Tail


class Answers:
    """Follows the predictions in a history file. Keeps times, but no answers.

    Attributes:
        first_sent: When each client sent its first request.
        last_sent: When each client sent the last request that has ended.
        last_answered: When that request ended.
        last_good_sent: When each client sent the last request that has not failed.
        served: The clients with an answer that ``expect`` named.
    """

    def __init__(self, history: Path, remote: str, rtol: float, server: str = "") -> None:
        self._lines = Tail(history)
        self._of = (remote, server)
        self._rtol = rtol
        self._expected: list[float] = []
        self._since = 0.0
        self.first_sent: dict[str, float] = {}
        self.last_sent: dict[str, float] = {}
        self.last_answered: dict[str, float] = {}
        self.last_good_sent: dict[str, float] = {}
        self.served: set[str] = set()

    def expect(self, expected: list[float], since: float) -> None:
        """Look from now on for this prediction, in answers given at ``since`` or later."""
        self._expected, self._since, self.served = expected, since, set()

    def read(self) -> None:
        """Take in what the clients have written meanwhile."""
        for line in self._lines.new_lines():
            event = parse(line)
            if event["event"] != "prediction":
                continue
            if (event["remote"], event.get("server", "")) != self._of:
                continue
            client = event["client"]
            self.first_sent.setdefault(client, event["sent"])
            self.last_sent[client] = event["sent"]
            self.last_answered[client] = event["answered"]
            value = event.get("value")
            if value is None:
                continue
            self.last_good_sent[client] = event["sent"]
            if event["answered"] >= self._since and same(value, self._expected, self._rtol):
                self.served.add(client)
