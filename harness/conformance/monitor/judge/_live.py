"""Claims about the live directory: what a server finds there whenever it looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from harness.support.live_directory import Content

from ..observed import Observed
from ._naming import name_of
from ._verdict import Check


def _names(observed: Observed) -> list[str]:
    return [name_of(look.content, observed.known) for look in observed.looks]


def always_one_whole_release(observed: Observed) -> Optional[str]:
    """In every look the live directory was one whole good release: never a mixture, never gone."""
    good = {release.label for release in observed.known if release.good}
    bad = [name for name in _names(observed) if name not in good]
    if bad:
        return f"the live directory was {bad[0]} ({len(bad)} such states seen)"
    return None


_REST_S = 0.5


def settles_whole(observed: Observed) -> Optional[str]:
    """The live directory never was anything but one whole good release for half a second.

    Most scenarios ask no more. ``always_one_whole_release`` judges every instant.
    """
    good = {release.label for release in observed.known if release.good}
    ends = [look.at for look in observed.looks[1:]] + [observed.end or float("inf")]
    for look, end in zip(observed.looks, ends):
        name = name_of(look.content, observed.known)
        if name not in good and end - look.at > _REST_S:
            return f"the live directory stayed {name}"
    return None


def never_torn_by_a_bad_release(observed: Observed) -> Optional[str]:
    """Nothing of a bad release ever was in the live directory: it held good releases only.

    Files of good releases count as good, even a mixture of them: another scenario judges a monitor
    that copies file by file.
    """
    good = {path_digest for r in observed.known if r.good for path_digest in r.files.items()}
    for look in observed.looks:
        if look.content is None:
            return "the live directory was gone"
    last_before_good = observed.looks[-1].content if observed.looks else None
    for content in (last_before_good, *_resting(observed)):
        for path, digest in content.files.items() if content else ():
            if (path, digest) not in good:
                return f"the live directory got {path} of a bad release"
    return None


def _resting(observed: Observed) -> list[Content]:
    """What the live directory held for half a second or longer."""
    ends = [look.at for look in observed.looks[1:]] + [observed.end or float("inf")]
    return [
        look.content
        for look, end in zip(observed.looks, ends)
        if look.content is not None and end - look.at > _REST_S
    ]


def whole_once_installed(observed: Observed) -> Optional[str]:
    """From its first moment on, the live directory was one whole good release in every look."""
    names = _names(observed)
    there = next((i for i, name in enumerate(names) if name != "absent"), len(names))
    good = {release.label for release in observed.known if release.good}
    bad = [name for name in names[there:] if name not in good]
    return f"the live directory was {bad[0]}" if bad else None


def ends_with(label: str) -> Check:
    """The live directory holds the expected release at the end."""

    def claim(observed: Observed) -> Optional[str]:
        names = _names(observed)
        last = names[-1] if names else "never seen"
        if last != label:
            return f"at the end the live directory was {last}, not {label}"
        return None

    return claim


def each_was_live(*labels: str) -> Check:
    """Every one of these releases was live at some time, in this order."""

    def claim(observed: Observed) -> Optional[str]:
        seen = iter(_names(observed))
        missing = [label for label in labels if label not in seen]
        return f"never live in its turn: {', '.join(missing)}" if missing else None

    return claim


def server_reloads_every_swap(observed: Observed) -> Optional[str]:
    """A server that compares the time file's whole second loads each release that stayed live.

    The second must differ from the last second of the release before, because the server compares
    for inequality. Since then the time file may have had other seconds while a mixture of files was
    live. The second must also differ from these: a server that has loaded the mixture does not load
    again.
    """
    stays = _stays(observed)
    for before, after in zip(stays, stays[1:]):
        if after.second is None:
            return f"{after.label} is live without a time file"
        if after.second == before.second:
            return f"{after.label} has the same second as the release before: no reload"
        if after.second in after.mixed:
            return f"the time file of {after.label} moved before its files were whole"
    return None


def second_never_goes_back(observed: Observed) -> Optional[str]:
    """The time file's second only moves forward from swap to swap."""
    stays = _stays(observed)
    for one, after in zip(stays, stays[1:]):
        if one.second is not None and after.second is not None and after.second < one.second:
            return f"the time file went back by {one.second - after.second} s with {after.label}"
    return None


def time_file_moves_last(observed: Observed) -> Optional[str]:
    """Whenever the second changed, the files were those of one whole release.

    This is what remains of "whole at every instant" where a directory cannot be exchanged.
    """
    good = {release.label for release in observed.known if release.good}
    before: Optional[int] = None
    for look in observed.looks:
        second = look.content.second if look.content else None
        name = name_of(look.content, observed.known)
        if before is not None and second != before and name not in good:
            return f"the time file moved while the live directory was {name}"
        before = second
    return None


@dataclass(frozen=True)
class _Stay:
    """The time in which one whole release was live."""

    # The release's name.
    label: str
    # The last second of the time file in this time.
    second: Optional[int]
    # The seconds of the time file while a mixture was live, since the release before.
    mixed: frozenset[int]


def _stays(observed: Observed) -> list[_Stay]:
    """Whole releases in the order they were live."""
    labels = {release.label for release in observed.known}
    stays: list[_Stay] = []
    mixed: frozenset[int] = frozenset()
    for look in observed.looks:
        if look.content is None:
            continue
        name, second = name_of(look.content, observed.known), look.content.second
        if name not in labels:
            if second is not None and not (stays and second == stays[-1].second):
                mixed |= {second}
            continue
        if stays and stays[-1].label == name:
            mixed |= stays.pop().mixed
        stays.append(_Stay(name, second, mixed))
        mixed = frozenset()
    return stays


def swaps_at_most(count: int) -> Check:
    """The time file's second changes no more often than expected; each change is a reload."""

    def claim(observed: Observed) -> Optional[str]:
        seconds = [look.content.second for look in observed.looks if look.content]
        changes = sum(1 for a, b in zip(seconds, seconds[1:]) if a != b)
        if changes > count:
            return f"{changes} reloads where {count} releases were announced"
        return None

    return claim


def same_rights(observed: Observed) -> Optional[str]:
    """Mode and owner of the live directory are what they were before."""
    before, after = (observed.facts.get(f"rights {when}") for when in ("before", "after"))
    if after is not None and after != before:
        return f"mode and owner of the live directory were {before} and became {after}"
    return None


def all_of_many_were_live(observed: Observed) -> Optional[str]:
    """As many releases were seen live as were published."""
    wanted, seen = observed.facts.get("releases wanted"), observed.facts.get("releases", "0")
    return None if wanted == seen else f"{seen} releases became live, then no more"
