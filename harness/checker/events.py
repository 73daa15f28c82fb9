"""Every event of a history: its fields, and which part records it when.

``docs/history.md`` is made from this table, and a test compares it with what the code records.
"""

from __future__ import annotations

from typing import NamedTuple


class EventType(NamedTuple):
    """One kind of event. Both texts are Markdown.

    ``t``, ``event`` and the fields of a label (``remote``, ``server``) are in each event.
    """

    # The fields besides ``t``.
    fields: str
    # Which part records the event, and when.
    recorded: str


EVENTS = {
    "run": EventType(
        (
            "`schema`, `scenario`, `utc`, `seed`, `remotes`, `on`, `monitor_on`, `servers` "
            "(how many watch each remote; default: 1), `serving`, `device`, `machine`, `versions` "
            "(and the commit), `command` (secrets masked). The last three are new in schema"
            " 3"
        ),
        "the run, first",
    ),
    "settings": EventType(
        "`remote` and the [settings of the leg](#settings)",
        ("a leg, first, and again if two releases predict the same. The last event counts"),
    ),
    "publishing": EventType(
        "`remote`",
        (
            "a leg, before it asks the producer for a release; the release may be public "
            "from this time on"
        ),
    ),
    "published": EventType(
        (
            "`remote`, `release`, `digest` (SHA-256 over the model's files), `sha256`, "
            "`size` (of the tarball), `expected` (the probe's prediction), `t_begin`, "
            "`t_end`, `good` (default: true). A bad release has `bad` (how it was damaged)"
        ),
        "a leg, when the producer has reported the release",
    ),
    "monitor_log": EventType(
        "`remote`, `line`",
        "the observer, for every line",
    ),
    "monitor_event": EventType(
        (
            "`remote`, `what`, and `release`, `sha256`, `why` if the monitor knows them. "
            "`t` is the monitor's own time"
        ),
        (
            "the observer, for every line of our monitor's [event file](monitor.md#the-"
            "event-file) (new in schema 3)"
        ),
    ),
    "server_log": EventType(
        "`remote`, `line`",
        "the observer, for the lines of a reload and every error",
    ),
    "swapped": EventType(
        (
            "`remote`, `digest`, `second` (of the time file; 0 without one), `moved` in older "
            "histories (true if a swap came during the read)"
        ),
        "the observer, when the live directory or its content changed",
    ),
    "observer_ended": EventType(
        "`remote`, `why`",
        "the observer, when it fails; the history has no later swaps or log lines",
    ),
    "install_failed": EventType(
        "`remote`, `release`, `why`",
        "a leg, when `--once` did not install the first release; the leg ends",
    ),
    "unserved": EventType(
        "`remote`, `release`, `clients` (those without the release), `bound_s`",
        "a leg, when the [bound](#the-verdict) of a release is over; the leg continues",
    ),
    "resources": EventType(
        (
            "`remote`, `part`, `pid`, `rss_bytes`, `fds`, `threads`, `cpu_s`, `bytes` "
            "([below](#growth-and-cost))"
        ),
        "the sampler, every 0.5 s: the sum over a process and all that it started",
    ),
    "server": EventType(
        (
            "`remote`, `identity` (the listening process and its start time), `restarted` "
            "(true after a restart that a scenario makes)"
        ),
        "a leg, when the server is ready and at the end",
    ),
    "prediction": EventType(
        "`remote`, `client`, `n`, `planned`, `sent`, `answered`, and `value` or `error`",
        "a client, for every request",
    ),
    "client_ended": EventType(
        (
            "`remote`, `client`, `asked` (the number of requests), `planned` (how many were"
            " planned by then), [`lag`](#latency-at-a-swap)"
        ),
        "a client, last",
    ),
    "fault": EventType(
        "`remote`, `fault`, `target`, `parameters`, `since`, `until`",
        "a leg, when a [fault](faults.md) that it caused has ended",
    ),
    "clock": EventType(
        (
            "`worker`, `sent`, `received` (the worker's times), `master` (the master's time"
            " in between)"
        ),
        (
            "a worker on another machine, for every time it [asks the master's "
            "clock](#histories-of-several-machines)"
        ),
    ),
    "merged": EventType(
        "`worker`, `offset_s`, `drift` (seconds a second), `error_s`",
        "`merge`, for each worker",
    ),
    "outage": EventType(
        (
            "`remote`, `since`, `until`, `why`, `requests` (false if requests may not fail;"
            " default: true)"
        ),
        "a scenario that breaks a part on purpose",
    ),
    "outage_begins": EventType(
        "`remote`, `since`, `why`, `requests`",
        (
            "a scenario, before it breaks a part. If the run is killed before the `outage` "
            "is recorded, the outage lasts until the end"
        ),
    ),
    "rollback": EventType(
        "`remote`, `release` (which serves from now on)",
        "a scenario, after the monitor's command",
    ),
    "leg_ended": EventType(
        "`remote`, `seconds`",
        "the run, when all parts of a leg have stopped",
    ),
    "cut_short": EventType(
        "`why`, and `remote` if only that leg ends",
        "the run, when a part ended by itself, or the run was interrupted",
    ),
    "end": EventType(
        "",
        "the run, last",
    ),
}
