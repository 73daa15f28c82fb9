"""The claims that each release reaches each client: in time, at the end, and equally."""

from __future__ import annotations

import math
from typing import Optional

from .history import Event
from .leg_history import LegHistory
from .outcome import MAX_QUOTED, Claim, Outcome, claim_about


def deadline_of(leg: LegHistory, since: float, client: str) -> Optional[float]:
    """Return the time by which a release must be served to a client, or superseded.

    The bound counts from ``since`` (the end of its publishing, or its rollback) or from the
    client's first request, whichever is later. Each outage extends it.

    Returns:
        The deadline; None when the client never asked.
    """
    first = leg.asked_since.get(client)
    if first is None:
        return None
    begin = max(since, first)
    return leg.extended(begin, begin + float(leg.settings["bound_s"]) + leg.clock_error_s)


def _asked_after(leg: LegHistory, client: str, t: float) -> bool:
    """Return whether the client still asked at ``t``, so that its answers are known."""
    return leg.asked_until.get(client, -math.inf) >= t


def nothing_lost(leg: LegHistory) -> Claim:
    """Judge whether every client got each good release in time, or a newer one."""
    lost: list[Event] = [
        {"release": event["release"], "client": client, "why": event["why"]}
        for event in leg.install_failed
        for client in leg.settings["clients"]
    ]
    open_yet: list[Event] = []
    for index in leg.good:
        release = leg.published[index]
        superseded = leg.superseded[index]
        for client in leg.settings["clients"]:
            deadline = deadline_of(leg, float(release["t_end"]), client)
            served = leg.first_served(index, client)
            late = {
                "release": release["release"],
                "client": client,
                "first_served": served,
                "deadline": deadline,
            }
            if deadline is None:
                open_yet.append(late)
            elif superseded <= deadline or (served is not None and served <= deadline):
                continue
            elif served is not None or _asked_after(leg, client, deadline):
                lost.append(late)
            else:
                open_yet.append(late)
    name = "nothing lost"
    if lost:
        return Claim(
            leg.remote, name, Outcome.INVALID, _what_was_lost(leg, lost), tuple(lost[:MAX_QUOTED])
        )
    if open_yet:
        late = open_yet[0]
        why = f"release {late['release']} was still within its bound when {late['client']} ended"
        return Claim(leg.remote, name, Outcome.UNKNOWN, why, tuple(open_yet))
    return Claim(leg.remote, name, Outcome.VALID)


def live_is_served(leg: LegHistory) -> Claim:
    """Judge the releases that ``nothing_lost`` passes because a newer one came within the bound.

    A server sees a release that stays live for two ticks, and loads it within ``load_bound_s``.
    An answer up to ``load_bound_s`` after the next swap still counts. A release may be live several
    times, because of rollbacks. Each time it must be served.
    """
    settings = leg.settings
    load_s = float(settings["load_bound_s" if "load_bound_s" in settings else "bound_s"])
    enough = 2.0 * settings.get("tick_s", 0) + load_s
    good = set(leg.good)
    wrong: list[Event] = []
    for swap, following in zip(leg.swapped, leg.swapped[1:]):
        begin, end = float(swap["t"]), float(following["t"])
        # Without a time file, whose second is 0 here, no server sees the release.
        if swap.get("second") == 0 or end - begin <= enough or leg.excused(begin, end):
            continue
        for index in good.intersection(leg.with_digest.get(swap["digest"], ())):
            for client in leg.settings["clients"]:
                if leg.asked_since.get(client, math.inf) > begin or not _asked_after(
                    leg, client, end
                ):
                    continue
                served = leg.first_served(index, client, begin)
                if served is None or served > end + load_s:
                    number = leg.published[index]["release"]
                    wrong.append({"release": number, "client": client, "live_s": end - begin})
    what = f"times a release stayed live for more than {enough:g} s and was not served"
    return claim_about(leg.remote, "live is served", wrong, what)


def _what_was_lost(leg: LegHistory, lost: list[Event]) -> str:
    """Name the lost releases, each with the clients that lacked it."""
    bound = f"{float(leg.settings['bound_s']):g} s"
    said = []
    for number in dict.fromkeys(event["release"] for event in lost):
        mine = [event for event in lost if event["release"] == number]
        clients = ", ".join(dict.fromkeys(event["client"] for event in mine))
        if "why" in mine[0]:
            said.append(f"release {number} was not installed for {clients}: {mine[0]['why']}")
        elif all(event["first_served"] is None for event in mine):
            said.append(f"release {number} was not served to {clients} within {bound}")
        else:
            said.append(f"release {number} was served to {clients} only after more than {bound}")
    return "; ".join(said)


def _last_one(leg: LegHistory) -> tuple[Optional[int], float]:
    """Return the release that has to serve at the end, and the time since which it has to.

    That is the last good one, or the release that a later rollback went back to.
    """
    if not leg.good:
        return None, math.inf
    last = leg.good[-1]
    published = float(leg.published[last]["t_end"])
    for event in leg.rollbacks[-1:]:
        if event["t"] > published:
            numbers = [release["release"] for release in leg.published]
            return numbers.index(event["release"]), float(event["t"])
    return last, published


def last_one_serves(leg: LegHistory) -> Claim:
    """Judge whether the last answer of each client comes from the last good release."""
    wrong: list[Event] = []
    open_yet: list[Event] = []
    index, since = _last_one(leg)
    if index is not None:
        for client in leg.settings["clients"]:
            last = leg.last_answer(client) or {"client": client, "answers": 0}
            if "value" in last and index in leg.releases_of(last["value"]):
                continue
            deadline = deadline_of(leg, since, client)
            # Neither served nor late: the history ends too early for a judgement.
            undecided = leg.first_served(index, client, since) is None and (
                deadline is None or not _asked_after(leg, client, deadline)
            )
            # A newer release may have been served.
            undecided = undecided or leg.unrecorded_since < math.inf
            (open_yet if undecided else wrong).append(last)
    name = "last one serves"
    if open_yet and not wrong:
        why = f"the last release was still within its bound when {open_yet[0]['client']} ended"
        return Claim(leg.remote, name, Outcome.UNKNOWN, why, tuple(open_yet))
    number = 0 if index is None else leg.published[index]["release"]
    return claim_about(leg.remote, name, wrong, f"clients do not end on release {number}")


def all_clients_agree(leg: LegHistory) -> Claim:
    """Judge whether a release that some clients got reached all clients."""
    wrong = []
    for index, release in enumerate(leg.published if leg.settings["paced"] else []):
        served = {c: leg.first_served(index, c) for c in leg.settings["clients"]}
        seen = [client for client, t in served.items() if t is not None]
        missed = [c for c, t in served.items() if t is None and _has_missed(leg, index, c)]
        if seen and missed:
            wrong.append({"release": release["release"], "seen_by": seen, "missed_by": missed})
    what = "releases were seen by some clients only"
    return claim_about(leg.remote, "all clients agree", wrong, what)


def _has_missed(leg: LegHistory, index: int, client: str) -> bool:
    """Return whether a release can no longer be served to a client.

    That is so when its bound is over, or when a newer release was served to the client.
    """
    if leg.latest_served.get(client, -1) > index:
        return True
    deadline = deadline_of(leg, float(leg.published[index]["t_end"]), client)
    return deadline is not None and _asked_after(leg, client, deadline)
