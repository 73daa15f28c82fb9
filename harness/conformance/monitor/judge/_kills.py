"""Claims about what a kill -9 leaves behind."""

from __future__ import annotations

from collections import Counter
from typing import Optional

from ..observed import KILLED, Kill, Observed
from ._naming import last_line, name_of
from ._verdict import Unjudged


def every_kill_is_survived(observed: Observed) -> Optional[str]:
    """After each kill a whole release is live; a restart converges and leaves nothing behind.

    A kill that did not come proves nothing, whatever was seen around it.
    """
    good = {release.label for release in observed.known if release.good}
    target = observed.known[-1].label
    broken: list[tuple[str, str]] = []
    missed = [kill for kill in observed.kills if kill.code != KILLED]
    for kill in observed.kills:
        if kill.code != KILLED:
            continue
        at_kill = name_of(kill.after_kill, observed.known)
        restarted = name_of(kill.after_restart, observed.known)
        if at_kill not in good and not (at_kill == "absent" and kill.before is None):
            broken.append(("torn", f"{kill.point}: the live directory was {at_kill}"))
        elif restarted != target:
            last = last_line(kill.log)
            broken.append(("lost", f"{kill.point}: after a restart it was {restarted} ({last})"))
        elif _same_second(kill):
            broken.append(("unnoticed", f"{kill.point}: the time file never moved, no reload"))
        elif kill.left_over:
            broken.append(("left over", f"{kill.point}: left over {', '.join(kill.left_over)}"))
    if broken:
        kinds = ", ".join(
            f"{count} {kind}" for kind, count in Counter(k for k, _ in broken).items()
        )
        return f"{len(broken)} of {len(observed.kills)} kills: {kinds}; killed {broken[0][1]}"
    if missed:
        return Unjudged(
            f"{len(missed)} of {len(observed.kills)} kills did not come (exit code "
            f"{missed[0].code}): {missed[0].point}"
        )
    return None


def _same_second(kill: Kill) -> bool:
    """Whether a server that served on through kill and restart has no reason to reload."""
    if kill.after_restart is None or kill.before is None:
        return False
    return kill.after_restart.second is None or kill.after_restart.second == kill.before.second


def some_kills(observed: Observed) -> Optional[str]:
    """At least one system call of the monitor changed a file, so that kills were possible."""
    return None if observed.kills or observed.unmet else "no system call changed a file"
