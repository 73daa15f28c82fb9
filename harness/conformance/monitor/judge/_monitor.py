"""Claims about the monitor as a program: that it lives on, ends when asked, leaks nothing."""

from __future__ import annotations

import re
from typing import Optional

from ..observed import Observed
from ._naming import last_line
from ._verdict import Check, Unjudged

# On a busy machine each wait for the processor is long. A monitor that ends closes files and
# connections and joins threads, so it waits more often than a program that does nothing.
_BARE_STOPS = 3


def keeps_running(observed: Observed) -> Optional[str]:
    """The monitor never ended by itself."""
    for run in observed.runs:
        if run.ended_itself:
            return f"the monitor ended by itself with exit code {run.code}: {last_line(run.log)}"
    return None


def nothing_outside(observed: Observed) -> Optional[str]:
    """Nothing was written outside the monitor's own folders."""
    return f"written outside: {', '.join(observed.outside)}" if observed.outside else None


def secret_stays_secret(observed: Observed) -> Optional[str]:
    """The scenario's secrets (``facts["secret"]`` and ``facts["old secret"]``) appear nowhere.

    Neither the monitor's output nor the command lines of its children may have one. The command
    line that the suite gave the monitor does not count.
    """
    secrets = [observed.facts[name] for name in ("secret", "old secret") if name in observed.facts]
    if any(secret in observed.log for secret in secrets):
        return "the password is in the log"
    if any(secret in line for line in observed.processes for secret in secrets):
        return "the password is in the command line of a process that the monitor started"
    return None


def no_traceback(observed: Observed) -> Optional[str]:
    """The monitor never wrote a traceback."""
    if "Traceback (most recent call last)" in observed.log:
        return f"a traceback in the log: {last_line(observed.log)}"
    return None


def stopped_within_1_s(observed: Observed) -> Optional[str]:
    """Every SIGTERM ended the monitor within a second, plus an allowance for a busy machine.

    The allowance is a multiple of the time that SIGTERM takes to end a program that does nothing.
    The scenario measures this time right after the stop (``figures["bare_stop_s"]``).
    """
    bare = max(observed.figures.get("bare_stop_s", []), default=0.0)
    stops = [run.stop_s for run in observed.runs if run.stop_s is not None]
    if not stops:
        return Unjudged("no SIGTERM was sent to a running monitor")
    if max(stops) > 1.0 + _BARE_STOPS * bare:
        return (
            f"SIGTERM took {max(stops):.2f} s to end it "
            f"({bare:.2f} s to end a program that does nothing)"
        )
    return None


def disk_stays_free(share: float) -> Check:
    """At no time was less than ``share`` of the disk free (``figures["least free"]``)."""

    def claim(observed: Observed) -> Optional[str]:
        least = min(observed.figures.get("least free", []), default=None)
        if least is None:
            return Unjudged("the free space of the disk was not looked at")
        return f"only {least:.0%} of the disk stayed free" if least < share else None

    return claim


# How programs say that access was refused: in words, or by the status of HTTP (RFC 9110) or FTP
# (RFC 959). A number in a time or an address, which each log has, is no status.
_REFUSED = re.compile(
    r"permission(?!-)|denied|forbidden|unauthori[sz]ed|not (allowed|authori[sz]ed|logged in)|"
    r"log-?in (is |was )?(incorrect|failed|refused)|authentication (is |was )?(failed|required)|"
    r"(?<![\w.,:/-])(401|403|530)(?![\w.,:/-]*\d)",
    re.IGNORECASE,
)


def refusal_was_met_and_said(observed: Observed) -> Optional[str]:
    """The remote refused a login (``figures["logins refused"]``), and the log says so.

    Otherwise a user would look for a release that is missing.
    """
    if not sum(observed.figures.get("logins refused", [])):
        return "it never tried to log in"
    said = _REFUSED.search(observed.log)
    return None if said else f"its log does not say that it was refused: {last_line(observed.log)}"


def both_refusals_were_met(observed: Observed) -> Optional[str]:
    """The remote answered 401 and 403 (the statuses in ``figures["logins refused"]``)."""
    met = observed.figures.get("logins refused", [])
    missing = [str(status) for status in (401, 403) if float(status) not in met]
    return f"it never met an answer {' or '.join(missing)}" if missing else None


def goes_on_with_its_pull(observed: Observed) -> Optional[str]:
    """The monitor completed its pull: after the disturbance no transfer began at the first byte.

    ``facts["beginning came again"]`` says whether one did.
    """
    again = observed.facts.get("beginning came again")
    if again is None:
        return Unjudged("the pull did not come to its end")
    return "the tarball was pulled from its beginning again" if again == "yes" else None


_FEWEST = 8


def flat(figure: str, allowed: float) -> Check:
    """The second half of a series of measurements is at most ``allowed`` above the first.

    The check compares the lowest values of the second and of the last quarter. What a swap needs
    for a moment, or garbage that is not collected yet, is no leak. A leak shows in the lowest
    values. Fewer than eight measurements (or none: no /proc) show nothing.
    """

    def claim(observed: Observed) -> Optional[str]:
        series = observed.figures.get(figure, [])
        if len(series) < _FEWEST:
            return Unjudged(f"{figure} was measured {len(series)} times: no growth can be told")
        quarter = len(series) // 4
        # The first quarter includes the start, so growth is judged from the second quarter on.
        early, late = min(series[quarter : 2 * quarter]), min(series[-quarter:])
        if late - early > allowed:
            return f"{figure} grew from {early:g} to {late:g}"
        return None

    return claim
