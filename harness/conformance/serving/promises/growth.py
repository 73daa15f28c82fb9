"""Memory, files and threads do not grow from reload to reload, judged as in a run."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from harness.checker.growth import MEMORY_BOUND_BYTES, MIN_RELOADS, grows, slope_with_limits
from harness.conformance.serving.check_reload_load import turns
from harness.conformance.serving.checks import PRICE, PRICE_2, Differs, Missing, Subject, holds
from harness.support.guard import descendants
from harness.support.usage import Usage, usage

from .asking import wait_served

# The first reloads fill caches and pools.
_WARM_UP = 5
_RELOADS = MIN_RELOADS + 5
_FIELDS = {"descriptors": "fds", "threads": "threads"}


@functools.lru_cache(maxsize=1)
def _samples(subject: Subject) -> Sequence[Usage]:
    """Return a sample after each reload: one run, for several promises."""
    found = []
    with subject.launch() as server:
        for number in range(_WARM_UP + _RELOADS):
            server.install(turns(subject)[number % 2])
            wait_served(server, (PRICE_2, PRICE)[number % 2], f"release {number + 2}")
            sample = usage([server.pid, *descendants(server.pid)])
            if sample is None:
                raise Differs("the server has ended")
            found.append(sample)
    return found[_WARM_UP:]


def memory(subject: Subject) -> None:
    """The server's memory grows by less than 100 KB a reload, over 25 reloads."""
    values = [float(sample.rss_bytes) for sample in _samples(subject)]
    low, slope, high = slope_with_limits(list(enumerate(values)))
    said = f"{slope / 1e3:,.0f} KB a reload ({low / 1e3:,.0f} to {high / 1e3:,.0f} KB)"
    holds(low < MEMORY_BOUND_BYTES, said)
    if high >= MEMORY_BOUND_BYTES:
        raise Missing(f"{said}; more reloads would tell")


def flat(subject: Subject, what: str) -> None:
    """The server's {what} do not grow over 25 reloads."""
    values = [getattr(sample, _FIELDS[what]) for sample in _samples(subject)]
    if None in values:
        raise Missing(f"this user may not see the server's {what}")
    holds(not grows(values), f"{values[0]} after the first reload, {values[-1]} after the last")
