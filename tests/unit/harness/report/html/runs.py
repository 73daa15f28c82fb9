"""Histories for the tests of the report: a run as the observer and our monitor write one down."""

from __future__ import annotations

from typing import Any

from harness.checker.history import Event
from harness.checker.verdict import judge
from harness.report.html.facts import Report, facts
from tests.unit.harness.checker.test_verdict import Story

# Seconds after the end of a release's publishing.
MOMENTS = {"seen": 0.02, "pulled": 0.05, "verified": 0.09, "staged": 0.12, "swapped": 0.2}


def with_monitor_events(events: list[Event]) -> list[Event]:
    """Return the history with what our monitor writes to its event file for each release."""
    own: list[dict[str, Any]] = [
        {
            "event": "monitor_event",
            "t": event["t_end"] + after,
            "remote": "ftp",
            "what": what,
            "release": event["release"],
            "sha256": event.get("sha256"),
        }
        for event in events
        if event["event"] == "published"
        for what, after in MOMENTS.items()
    ]
    loaded = [
        {**event, "t": event["t"] + 0.05, "line": "I… Finish reload 1 workflow(s)"}
        for event in events
        if event["event"] == "server_log"
    ]
    return [*events, *own, *loaded]


def whole_story() -> list[Event]:
    """Return a good run of three releases, with planned requests and the monitor's own events."""
    story = Story()
    story.settings.update(latency_window_s=0.5, tick_s=1)
    for request in story.predictions:
        request["planned"] = request["sent"] - 0.001
    return with_monitor_events(story.events())


def reported(events: list[Event]) -> Report:
    """Return the facts of a history."""
    return facts(events, judge(events))
