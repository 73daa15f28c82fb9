"""What judges: claims about what was observed, each a pure function.

A claim returns None when it holds, one sentence of evidence when it does not, and that sentence
as ``Unjudged`` when what was observed is too little to tell. A scenario names the claims it makes;
the verdict follows from them and from the waits that were not met.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from .observed import KILLED, Content, Kill, Known, Observed

Claim = Callable[[Observed], Optional[str]]


class Unjudged(str):
    """Why a claim can be neither upheld nor refuted: it makes the verdict unknown."""


PASSED = "passed"
FAILED = "failed"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """``word`` is passed, failed or unknown; ``evidence`` says why unless it passed."""

    word: str
    evidence: str = ""


def verdict(observed: Observed, claims: Iterable[Claim]) -> Verdict:
    """Failed with the broken claims' evidence; unknown when none is broken but one could not be
    judged, or a wait was not met: the scenario did not get as far as its claims reach."""
    found = [evidence for claim in claims if (evidence := claim(observed)) is not None]
    broken = [evidence for evidence in found if not isinstance(evidence, Unjudged)]
    if broken:
        return Verdict(FAILED, "; ".join(broken))
    if observed.unmet or found:
        return Verdict(UNKNOWN, "; ".join([*observed.unmet, *found]))
    return Verdict(PASSED)


def name_of(content: Optional[Content], known: Sequence[Known]) -> str:
    """Which release this is: a label, ``absent``, or a description that starts with ``torn``.

    Of two published releases with equal files the later label is given: they are the same to a
    server.
    """
    if content is None:
        return "absent"
    for release in reversed(known):
        if release.files == content.files:
            return release.label
    holds = []
    for path in sorted(content.files):
        owners = [r.label for r in known if r.files.get(path) == content.files[path]]
        holds.append(f"{path} of {owners[-1]}" if owners else f"{path} of no release")
    return "torn (" + (", ".join(holds) or "empty") + ")"


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
    """The live directory never stays anything but one whole good release for half a second.

    Whether it is so at *every* instant is a claim of its own (``always_one_whole_release``):
    most scenarios ask about something else.
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

    In-place copying of good ones is another scenario's matter: files of good releases count as
    good even when they are mixed.
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
    """As above, from the first moment on that the live directory was there."""
    names = _names(observed)
    there = next((i for i, name in enumerate(names) if name != "absent"), len(names))
    good = {release.label for release in observed.known if release.good}
    bad = [name for name in names[there:] if name not in good]
    return f"the live directory was {bad[0]}" if bad else None


def ends_with(label: str) -> Claim:
    """The live directory holds ``label`` at the end."""

    def claim(observed: Observed) -> Optional[str]:
        names = _names(observed)
        last = names[-1] if names else "never seen"
        if last != label:
            return f"at the end the live directory was {last}, not {label}"
        return None

    return claim


def each_was_live(*labels: str) -> Claim:
    """Every one of these releases was live at some time, in this order."""

    def claim(observed: Observed) -> Optional[str]:
        seen = iter(_names(observed))
        missing = [label for label in labels if label not in seen]
        return f"never live in its turn: {', '.join(missing)}" if missing else None

    return claim


def never_live(*labels: str) -> Claim:
    """None of these releases was ever live."""

    def claim(observed: Observed) -> Optional[str]:
        seen = [name for name in _names(observed) if name in labels]
        return f"{seen[0]} was live" if seen else None

    return claim


def server_reloads_every_swap(observed: Observed) -> Optional[str]:
    """A server that compares the time file's whole second loads each release that came to stay.

    The second must differ from the one that the release before ended with, or the server does
    not notice (it compares for inequality), and from every one that was seen beside a mixture of
    files since: a server that looked then has loaded the mixture, and does not load again.
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
    """A whole release while it was live: the last second it had, and the seconds to which the
    time file had moved while a mixture was live, since the release before."""

    label: str
    second: Optional[int]
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


def swaps_at_most(count: int) -> Claim:
    """The server is made to reload at most ``count`` times: changes of the time file's second."""

    def claim(observed: Observed) -> Optional[str]:
        seconds = [look.content.second for look in observed.looks if look.content]
        changes = sum(1 for a, b in zip(seconds, seconds[1:]) if a != b)
        if changes > count:
            return f"{changes} reloads where {count} releases were announced"
        return None

    return claim


def keeps_running(observed: Observed) -> Optional[str]:
    """The monitor never ended by itself."""
    for run in observed.runs:
        if run.ended_itself:
            return f"the monitor ended by itself with exit code {run.code}: {_last_line(run.log)}"
    return None


def nothing_outside(observed: Observed) -> Optional[str]:
    """Nothing was written outside the monitor's own folders."""
    return f"written outside: {', '.join(observed.outside)}" if observed.outside else None


def secret_stays_secret(observed: Observed) -> Optional[str]:
    """The scenario's secret (``facts["secret"]``) is neither in what the monitor wrote nor in the
    process list of what it started. The command line the suite itself gave it does not count."""
    secret = observed.facts.get("secret")
    if secret is None:
        return None
    if secret in observed.log:
        return "the password is in the log"
    if any(secret in line for line in observed.processes):
        return "the password is in the command line of a process that the monitor started"
    return None


def no_traceback(observed: Observed) -> Optional[str]:
    """The monitor never wrote a traceback."""
    if "Traceback (most recent call last)" in observed.log:
        return f"a traceback in the log: {_last_line(observed.log)}"
    return None


def stopped_within_1_s(observed: Observed) -> Optional[str]:
    """Every SIGTERM ended the monitor within a second, and what this machine takes beside that.

    The allowance is measured (``figures["bare_stop_s"]``): how long it was until a program that
    does nothing but end at SIGTERM was seen to have ended, right after.
    """
    allowance = max(observed.figures.get("bare_stop_s", []), default=0.0)
    stops = [run.stop_s for run in observed.runs if run.stop_s is not None]
    if not stops:
        return Unjudged("no SIGTERM was sent to a running monitor")
    if max(stops) > 1.0 + allowance:
        return (
            f"SIGTERM took {max(stops):.2f} s to end it "
            f"({allowance:.2f} s to end a program that does nothing)"
        )
    return None


def refusal_was_met_and_said(observed: Observed) -> Optional[str]:
    """The remote refused at least one login (``figures["logins refused"]``), and the monitor
    wrote something. What it says is its own choice: any output counts."""
    if not sum(observed.figures.get("logins refused", [])):
        return "it never tried to log in"
    return None if observed.log.strip() else "nothing in its log says that it was refused"


def goes_on_with_its_pull(observed: Observed) -> Optional[str]:
    """The pull that was under way was brought to its end: after the disturbance the tarball's
    beginning (``facts["beginning came again"]``) came down to nobody."""
    again = observed.facts.get("beginning came again")
    if again is None:
        return Unjudged("the pull did not come to its end")
    return "the tarball was pulled from its beginning again" if again == "yes" else None


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


_FEWEST = 8


def flat(figure: str, allowed: float) -> Claim:
    """The second half of a series of measurements is at most ``allowed`` above the first.

    Medians of the first and last quarter are compared: one collection of garbage more or less
    is not a leak. Fewer than eight measurements (or none: no /proc) show nothing.
    """

    def claim(observed: Observed) -> Optional[str]:
        series = observed.figures.get(figure, [])
        if len(series) < _FEWEST:
            return Unjudged(f"{figure} was measured {len(series)} times: no growth can be told")
        quarter = len(series) // 4
        # The very first quarter holds start-up; growth is judged from the second one on.
        early = sorted(series[quarter : 2 * quarter])[quarter // 2]
        late = sorted(series[-quarter:])[quarter // 2]
        if late - early > allowed:
            return f"{figure} grew from {early:g} to {late:g}"
        return None

    return claim


def every_kill_is_survived(observed: Observed) -> Optional[str]:
    """After each kill a whole release is live; a restart converges and leaves nothing behind.

    A kill that did not come proves nothing, whatever was seen around it.
    """
    good = {release.label for release in observed.known if release.good}
    target = observed.known[-1].label
    broken: list[str] = []
    missed = [kill for kill in observed.kills if kill.code != KILLED]
    for kill in observed.kills:
        if kill.code != KILLED:
            continue
        at_kill = name_of(kill.after_kill, observed.known)
        restarted = name_of(kill.after_restart, observed.known)
        if at_kill not in good and not (at_kill == "absent" and kill.before is None):
            broken.append(f"killed {kill.point}: the live directory was {at_kill}")
        elif restarted != target:
            last = _last_line(kill.log)
            broken.append(f"killed {kill.point}: after a restart it was {restarted} ({last})")
        elif _same_second(kill):
            broken.append(f"killed {kill.point}: the time file never moved, no reload")
        elif kill.left_over:
            broken.append(f"killed {kill.point}: left over {', '.join(kill.left_over)}")
    if broken:
        return f"{len(broken)} of {len(observed.kills)} kills: {broken[0]}"
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
    """There was something to kill at: a monitor that changes no file installs nothing."""
    return None if observed.kills or observed.unmet else "no system call changed a file"


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "(nothing in its log)"
