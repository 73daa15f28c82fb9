"""Finds what the claims need and a history lacks."""

from __future__ import annotations

import math

from .leg_history import LegHistory

# What a run may be unable to see from outside, as ``unseen`` in the settings names it.
SERVER_LOG = "server log"
MONITOR_LOG = "monitor log"
LIVE_DIRECTORY = "live directory"
EXPECTED_PREDICTIONS = "expected predictions"
SERVER_PROCESSES = "server processes"
SIGHTS = (SERVER_LOG, MONITOR_LOG, LIVE_DIRECTORY, EXPECTED_PREDICTIONS, SERVER_PROCESSES)


def missing_from(leg: LegHistory) -> str:
    """Return what the history lacks, or "" when it is complete."""
    if leg.cut_short:
        return f"the leg was cut short: {leg.cut_short}"
    if not leg.settings:
        return "no settings were recorded"
    if leg.blind_since == -math.inf:
        return "a line of the history is damaged"
    if leg.blind_since < math.inf:
        return "the observer ended before the leg did"
    clients = set(leg.settings["clients"])
    unseen = leg.settings.get("unseen", ())
    planned = leg.settings["releases"]
    needed = [
        ("the settings name no client", bool(clients)),
        ("no release was published", bool(leg.published)),
        (
            f"{len(leg.published)} of {planned} releases were published",
            len(leg.published) == planned,
        ),
        ("no swap was seen", bool(leg.swapped) or LIVE_DIRECTORY in unseen),
        ("no prediction was asked for", bool(leg.predictions)),
        (
            "the server's processes were not recorded at both ends",
            len(leg.servers) >= 2 or SERVER_PROCESSES in unseen,
        ),
    ]
    for why, there in needed:
        if not there:
            return why
    if SERVER_PROCESSES not in unseen:
        if leg.servers[0]["t"] > min(leg.asked_since.values()):
            return "the server's processes were first recorded after the first request"
        if leg.servers[-1]["t"] < max(leg.asked_until.values()):
            return "the server's processes were last recorded before the last answer"
    # A merged history has clients of other machines as well.
    clients |= set(leg.predictions.number_of)
    ended = {event["client"] for event in leg.ended_clients}
    if clients - ended:
        return f"the client(s) {', '.join(sorted(clients - ended))} did not come to an end"
    for event in leg.ended_clients:
        asked = leg.asked(event["client"])
        if asked != event["asked"]:
            client = event["client"]
            return f"{client} asked {event['asked']} times, the history has {asked} answers"
    return "" if leg.ended else "no end of the leg was recorded"
