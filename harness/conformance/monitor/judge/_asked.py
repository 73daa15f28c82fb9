"""Claims about requests to a monitor, and about what the monitor told its hooks."""

from __future__ import annotations

import itertools
from typing import Optional

from ..observed import Observed, Told
from ._naming import name_of
from ._verdict import Check, Unjudged


def each_request_was_followed(observed: Observed) -> Optional[str]:
    """After each request to look (``asked``) the announced release became live."""
    if not observed.asked:
        return Unjudged("the monitor was not asked")
    for one in observed.asked:
        names = [name_of(k.content, observed.known) for k in observed.looks if k.at >= one.at]
        if one.label not in names:
            return f"{one.label} did not become live after {one.how}"
    return None


def not_live_before_its_time(observed: Observed) -> Optional[str]:
    """No release was live before the scenario allowed it (``allowed``)."""
    if not observed.allowed:
        return Unjudged("no release was kept out")
    for look in observed.looks:
        label = name_of(look.content, observed.known)
        if look.at < observed.allowed.get(label, look.at):
            return f"{label} was live {observed.allowed[label] - look.at:.1f} s too early"
    return None


def never_a_bad_release(observed: Observed) -> Optional[str]:
    """No look found a release that must not be installed."""
    bad = {release.label for release in observed.known if not release.good}
    names = (name_of(look.content, observed.known) for look in observed.looks)
    return next((f"the live directory was {name}" for name in names if name in bad), None)


def told_in_order(*releases: str) -> Check:
    """The hook took each release, in this order, at least once."""

    def claim(observed: Observed) -> Optional[str]:
        taken = [told.release for told in observed.told if told.taken]
        # After a kill, the same release may come twice.
        order = [release for release, _ in itertools.groupby(taken)]
        if order == list(releases):
            return None
        said = ", ".join(map(_shown, observed.told)) or "it was told nothing"
        missing = [release for release in releases if release not in order]
        if missing:
            return f"the hook never took release {missing[0]} ({said})"
        return f"the hook took the releases in another order ({said})"

    return claim


def _shown(told: Told) -> str:
    return f"{'took' if told.taken else 'failed'} {told.release or 'a release without a number'}"


def told_again(times: int) -> Check:
    """The hook failed often enough (``times``), so the monitor had to tell it again."""

    def claim(observed: Observed) -> Optional[str]:
        failed = sum(not told.taken for told in observed.told)
        return Unjudged(f"the hook failed {failed} times") if failed < times else None

    return claim


def not_told_too_early(observed: Observed) -> Optional[str]:
    """The monitor told the hook of a release only after the server served it."""
    early = observed.facts.get("told while not served")
    if early is None:
        return Unjudged("no release was kept from being served")
    if early != "0":
        return f"the hook was told {early} times of a release that was not served"
    return None


def readiness_was(*statuses: int) -> Check:
    """The monitor answered with these statuses, one after the other (``figures["ready"]``)."""

    def claim(observed: Observed) -> Optional[str]:
        seen = [int(status) for status in observed.figures.get("ready", [])]
        if seen == list(statuses):
            return None
        said = ", ".join(map(str, seen)) or "nothing"
        return f"asked whether it is ready, the monitor answered {said}"

    return claim


def messages_are_right(observed: Observed) -> Optional[str]:
    """Each message names model, release, digest, the release before, and the time of the swap."""
    digests = {release.label: release.sha256 for release in observed.known}
    before: Optional[int] = None
    last: Optional[int] = None
    for told in observed.told:
        message = told.message
        number, times = message.get("release"), message.get("times")
        if number != last:
            before, last = last, number
        wanted = {
            "model": observed.facts.get("model"),
            "digest": digests.get(f"release {number}"),
            "previous": before,
        }
        for key, value in wanted.items():
            if message.get(key) != value:
                return f"the message about release {number} has {key} {message.get(key)!r}"
        if not isinstance(times, dict) or not isinstance(times.get("swapped"), (int, float)):
            return f"the message about release {number} has times {times!r}"
    return None if observed.told else Unjudged("the web hook was told nothing")
