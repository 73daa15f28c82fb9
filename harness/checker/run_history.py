"""A whole history, sorted in one pass: a leg for each remote, and the run's own events.

If several servers watch one remote, each server has a leg: ``ftp/1``, ``ftp/2``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.support.errors import BadInput

from .history import READABLE_SCHEMAS, Event
from .leg_history import POLL, RELOAD_BEGIN, RELOAD_ERROR, LegHistory
from .predictions import Columns

# Event, and the list of ``LegHistory`` that has the events of this kind.
_LISTS = {
    "published": "published",
    "swapped": "swapped",
    "server": "servers",
    "client_ended": "ended_clients",
    "outage": "outages",
    "outage_begins": "outage_begins",
    "publishing": "publishing",
    "install_failed": "install_failed",
    "resources": "resources",
    "rollback": "rollbacks",
    "monitor_event": "monitor_events",
}
_LOG_LISTS = ("reloads", "finished_reloads", "reload_errors", "pulls", "polls")


@dataclass
class RunHistory:
    """The events of a run that belong to no remote, and the history of each leg."""

    # The legs by name.
    legs: dict[str, LegHistory] = field(default_factory=dict)
    # The events ``run``.
    runs: list[Event] = field(default_factory=list)
    # Only a ``cut_short`` without a remote ends the run.
    cut_short: list[Event] = field(default_factory=list)
    # The lines that could not be read.
    damaged: list[Event] = field(default_factory=list)
    # Whether the run came to its end.
    ended: bool = False
    # The time of the first event.
    begin: float = math.inf
    # The largest error of a worker's clock after ``merge``.
    clock_error_s: float = 0.0
    # Workers whose clock was recorded.
    clocks: set[str] = field(default_factory=set)
    # Workers whose times ``merge`` has put on the clock of the run.
    merged: set[str] = field(default_factory=set)
    # Why the history cannot be judged: a number in it is NaN or infinite. "" if none is.
    not_finite: str = ""


def sort(events: Iterable[Event]) -> RunHistory:
    """Sort a history by remote and kind.

    Raises ``BadInput`` for another schema, for times of another machine's clock, and for answers
    that name none of several servers.
    """
    run = RunHistory()
    asked: dict[str, Columns] = {}
    for event in events:
        kind = event["event"]
        if kind == "prediction" and "remote" in event:
            name = leg_name(event)
            if name not in asked:
                asked[name] = Columns(name)
                _leg(run, event)
            asked[name].add(event)
            continue
        if any(isinstance(value, float) and not math.isfinite(value) for value in event.values()):
            run.not_finite = run.not_finite or f"a number of an event {kind} is not finite"
        run.begin = min(run.begin, float(event.get("t", math.inf)))
        if "remote" in event:
            _put(_leg(run, event), kind, event)
        elif kind == "clock":
            run.clocks.add(event["worker"])
        elif kind == "merged":
            run.merged.add(event["worker"])
            run.clock_error_s = max(run.clock_error_s, float(event["error_s"]))
        elif kind == "run":
            _require_readable(event["schema"])
            run.runs.append(event)
        elif kind == "cut_short":
            run.cut_short.append(event)
        elif kind == "damaged":
            run.damaged.append(event)
        run.ended = run.ended or kind == "end"
    for name, columns in asked.items():
        predictions = columns.sorted()
        run.legs[name].predictions = predictions
        run.begin = min(run.begin, float(predictions.t.min()))
        if not predictions.is_finite:
            run.not_finite = run.not_finite or "a number of an event prediction is not finite"
    if run.clocks - run.merged:
        raise BadInput(
            f"the times of {', '.join(sorted(run.clocks - run.merged))} are of another machine's "
            "clock; put the histories on one clock with `.venv/bin/python -m harness merge` first"
        )
    run.legs = _one_for_each_server(run.legs)
    for leg in run.legs.values():
        _add_open_outages(leg)
        leg.clock_error_s = run.clock_error_s
        if run.runs:
            leg.schema = run.runs[0]["schema"]
        if run.damaged:
            # The line may have been any record, so no claim may rely on the lack of a record.
            leg.blind_since = -math.inf
        # Several processes write the history: the order of its lines means nothing.
        for name in (*_LISTS.values(), *_LOG_LISTS):
            getattr(leg, name).sort(key=lambda event: float(event["t"]))
    return run


def _require_readable(schema: object) -> None:
    if schema not in READABLE_SCHEMAS:
        known = ", ".join(map(str, READABLE_SCHEMAS))
        raise BadInput(
            f"the history has schema {schema}; this checker reads {known}; use the harness of "
            "the run"
        )


def leg_name(event: Event) -> str:
    """Return the name of the leg of an event. With several servers, each has a leg of its own."""
    server = event.get("server", "")
    return f"{event['remote']}/{server}" if server else str(event["remote"])


def _leg(run: RunHistory, event: Event) -> LegHistory:
    name = leg_name(event)
    if name not in run.legs:
        run.legs[name] = LegHistory(name)
    return run.legs[name]


def _one_for_each_server(legs: Mapping[str, LegHistory]) -> dict[str, LegHistory]:
    """Give the events of a remote to the leg of each of its servers."""
    found = dict(legs)
    for name, shared in legs.items():
        own = [leg for other, leg in legs.items() if other.startswith(f"{name}/")]
        for leg in own:
            for kind in (*_LISTS.values(), *_LOG_LISTS):
                getattr(leg, kind).extend(getattr(shared, kind))
            leg.ended = leg.ended or shared.ended
            leg.cut_short = leg.cut_short or shared.cut_short
            leg.blind_since = min(leg.blind_since, shared.blind_since)
        if own:
            _require_no_predictions(shared, own)
            del found[name]
    return found


def _require_no_predictions(shared: LegHistory, own: Iterable[LegHistory]) -> None:
    """Raise ``BadInput`` if a remote with several servers has answers that name no server."""
    if len(shared.predictions):
        raise BadInput(
            f"{len(shared.predictions)} answers of {shared.remote} name no server, so they belong "
            f"to none of {', '.join(leg.remote for leg in own)}; record each with the field "
            "`server` (--server of the Locust file)"
        )


def _add_open_outages(leg: LegHistory) -> None:
    """Let an outage without an end, because the run was killed, last until the end."""
    ended = {(outage["since"], outage.get("why")) for outage in leg.outages}
    leg.outages += [
        {**begun, "event": "outage", "until": math.inf}
        for begun in leg.outage_begins
        if (begun["since"], begun["why"]) not in ended
    ]


def _put(leg: LegHistory, kind: str, event: Event) -> None:
    if kind in _LISTS:
        getattr(leg, _LISTS[kind]).append(event)
    elif kind == "settings":
        leg.settings = event
    elif kind == "leg_ended":
        leg.ended = True
    elif kind == "cut_short":
        leg.cut_short = event["why"]
    elif kind == "observer_ended":
        leg.blind_since = min(leg.blind_since, float(event["t"]))
    elif kind == "server_log" and RELOAD_BEGIN in event["line"]:
        leg.reloads.append(event)
    elif kind == "server_log" and "Finish reload" in event["line"]:
        leg.finished_reloads.append(event)
    elif kind == "server_log" and RELOAD_ERROR.match(event["line"]):
        leg.reload_errors.append(event)
    elif kind == "monitor_log" and "pull remote model(" in event["line"]:
        leg.pulls.append(event)
    elif kind == "monitor_log" and POLL.search(event["line"]):
        leg.polls.append(event)
