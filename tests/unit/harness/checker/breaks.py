"""Every way in which a run can break a claim, for runs that ``generated`` makes.

A break changes a valid run. It names the claim that has to find it, and those that may find it too
because what it did has a second consequence.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Callable

from hypothesis import assume

from harness.checker.history import Event

from .generated import LATENCY_BOUND_S, RTOL, WINDOW_S, Run


@dataclass(frozen=True)
class Break:
    """How a run is broken (``spoil`` changes it), and which claims say so."""

    # The claim that breaks.
    claim: str
    # How the run is broken.
    name: str
    spoil: Callable[[Run, random.Random], None]
    # Other claims that may break.
    also: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.claim}: {self.name}"


BREAKS: list[Break] = []


def _breaks(
    claim: str, *also: str
) -> Callable[[Callable[[Run, random.Random], None]], Callable[[Run, random.Random], None]]:
    def listed(
        spoil: Callable[[Run, random.Random], None],
    ) -> Callable[[Run, random.Random], None]:
        BREAKS.append(Break(claim, spoil.__name__, spoil, frozenset(also)))
        return spoil

    return listed


def _inner(run: Run, chance: random.Random) -> Event:
    """Return an answer; the client got the same release before and after it."""
    found = []
    for client in run.clients:
        mine = run.of(client)
        for before, p, after in zip(mine, mine[1:], mine[2:]):
            releases = {run.release_of(x) for x in (before, p, after)}
            if len(releases) == 1 and None not in releases:
                found.append(p)
    return chance.choice(found)


def _served_later(run: Run, chance: random.Random) -> int:
    """Return a release that was served, but not as the first one."""
    return chance.choice([release for _, release in run.served if release != run.served[0][1]])


def _reloads_of(run: Run, release: int) -> list[Event]:
    since = min(s["t"] for s in run.swapped if s["digest"] == run.digest(release)) - WINDOW_S
    until = _first_answer(run, release) + WINDOW_S
    return [line for line in run.reloads if since <= line["t"] <= until]


def _first_answer(run: Run, release: int) -> float:
    return min(float(p["answered"]) for p in run.predictions if run.release_of(p) == release)


def _replace(run: Run, clients: list[str], old: int, new: int) -> None:
    """Let the clients get another release wherever they got one."""
    for p in run.predictions:
        if p["client"] in clients and run.release_of(p) == old:
            p["value"] = run.value(new)


@_breaks("no request failed")
def a_request_has_an_error(run: Run, chance: random.Random) -> None:
    p = _inner(run, chance)
    del p["value"]
    p["error"] = "refused"


@_breaks("no request failed")
def a_request_has_an_error_beside_its_answer(run: Run, chance: random.Random) -> None:
    _inner(run, chance)["error"] = "err_no 8"


@_breaks("no request failed")
def a_request_has_no_answer(run: Run, chance: random.Random) -> None:
    del _inner(run, chance)["value"]


@_breaks("no request failed")
def a_request_took_too_long(run: Run, chance: random.Random) -> None:
    began = LATENCY_BOUND_S + 0.01
    late = [
        p
        for p in run.of(run.clients[0])[10:]
        if not any(p["answered"] - began < o["until"] for o in run.outages)
    ]
    p = chance.choice(late)
    p["sent"] = p["answered"] - began


@_breaks("no torn prediction")
def an_answer_is_beyond_rounding(run: Run, chance: random.Random) -> None:
    p = _inner(run, chance)
    value = run.value(run.release_of(p) or 0)
    p["value"] = [value[0], value[1] * (1 + 3 * RTOL)]


@_breaks("no torn prediction")
def an_answer_is_a_mixture_of_two_releases(run: Run, chance: random.Random) -> None:
    p = _inner(run, chance)
    release = run.release_of(p) or 0
    p["value"] = [run.value(release)[0], run.value(release - 1)[1]]


@_breaks("no torn prediction")
def an_answer_lacks_numbers(run: Run, chance: random.Random) -> None:
    p = _inner(run, chance)
    p["value"] = p["value"][:1]


@_breaks("no torn prediction")
def an_answer_is_empty(run: Run, chance: random.Random) -> None:
    _inner(run, chance)["value"] = []


@_breaks("no torn prediction")
def an_answer_is_not_a_number(run: Run, chance: random.Random) -> None:
    _inner(run, chance)["value"] = [float("nan"), float("nan")]


@_breaks("no torn prediction")
def an_answer_is_from_a_release_not_published_yet(run: Run, _: random.Random) -> None:
    begin = run.published[-1]["t_begin"]
    early = [p for p in run.of(run.clients[0]) if p["answered"] < begin and "value" in p]
    early[len(early) // 2]["value"] = run.value(-1)


@_breaks("live directory is whole")
def the_live_directory_is_a_mixture(run: Run, chance: random.Random) -> None:
    t = chance.uniform(run.servers[0]["t"] + 0.01, run.end)
    run.swapped.append(run.at(t, "swapped", digest="half and half", second=int(t)))


@_breaks("live directory is whole")
def the_live_directory_cannot_be_read(run: Run, chance: random.Random) -> None:
    t = chance.uniform(run.servers[0]["t"] + 0.01, run.end)
    run.swapped.append(run.at(t, "swapped", digest="unreadable: Input/output error", second=0))


@_breaks("served is swapped", "reload in the log", "nothing lost")
def a_release_is_served_without_a_swap(run: Run, chance: random.Random) -> None:
    digest = run.digest(_served_later(run, chance))
    run.swapped = [swap for swap in run.swapped if swap["digest"] != digest]


@_breaks("served is swapped", "reload in the log", "nothing lost", "no step back")
def a_release_is_served_before_its_swap(run: Run, chance: random.Random) -> None:
    release = _served_later(run, chance)
    swaps = [swap for swap in run.swapped if swap["digest"] == run.digest(release)]
    t = _first_answer(run, release)
    for later, swap in enumerate(swaps):
        swap["t"] = t + 0.1 + later


@_breaks("no step back")
def one_answer_is_older(run: Run, chance: random.Random) -> None:
    late = []
    for p in run.of(run.clients[-1])[:-1]:
        release = run.release_of(p)
        if release and p["sent"] > _first_answer(run, release) + WINDOW_S + 0.01:
            late.append(p)
    p = chance.choice(late)
    p["value"] = run.value((run.release_of(p) or 0) - 1)


@_breaks("no step back")
def one_client_goes_on_with_the_older_release(run: Run, chance: random.Random) -> None:
    release = _served_later(run, chance)
    until = _first_answer(run, release) + 3 * WINDOW_S
    for p in run.of(run.clients[-1]):
        if run.release_of(p) == release and p["answered"] < until:
            p["value"] = run.value(release - 1)


@_breaks("nothing lost")
def a_release_comes_too_late(run: Run, _: random.Random) -> None:
    run.settings["bound_s"] = 0.05


def _never_served(run: Run, clients: list[str]) -> None:
    last = len(run.published) - 1
    _replace(run, clients, last, last - 1)
    run.settings["bound_s"] = 1.0


@_breaks("nothing lost", "last one serves")
def the_last_release_is_never_installed(run: Run, _: random.Random) -> None:
    digest = run.digest(-1)
    run.swapped = [swap for swap in run.swapped if swap["digest"] != digest]
    _never_served(run, run.clients)


@_breaks("nothing lost", "last one serves")
def the_last_release_is_never_served(run: Run, _: random.Random) -> None:
    _never_served(run, run.clients)


@_breaks("nothing lost", "last one serves", "all clients agree", "no step back")
def the_last_release_is_never_served_to_one_client(run: Run, _: random.Random) -> None:
    _never_served(run, run.clients[:1])


@_breaks("nothing lost")
def the_first_release_is_not_installed(run: Run, _: random.Random) -> None:
    why = "`--once` ended with exit code 1"
    run.others.append(run.at(2.0, "install_failed", release=1, why=why))


@_breaks("last one serves", "no step back")
def one_client_ends_on_an_older_release(run: Run, _: random.Random) -> None:
    run.of(run.clients[0])[-1]["value"] = run.value(-2)


@_breaks("last one serves")
def the_run_ends_on_a_rollback_of_no_ones(run: Run, _: random.Random) -> None:
    t = run.end - 2.0
    last = len(run.published) - 1
    run.swapped.append(run.at(t, "swapped", digest=run.digest(last - 1), second=int(t)))
    for p in run.predictions:
        if p["answered"] > t + 0.2 and "value" in p:
            p["value"] = run.value(last - 1)


@_breaks("same server")
def another_server_answers_at_the_end(run: Run, _: random.Random) -> None:
    run.servers[-1]["identity"] = "8@2"


@_breaks("same server")
def another_server_answered_in_between(run: Run, _: random.Random) -> None:
    run.servers[1]["identity"] = "8@2"


@_breaks("same server")
def no_server_is_left_at_the_end(run: Run, _: random.Random) -> None:
    run.servers[-1]["identity"] = None


@_breaks("reload in the log")
def the_log_does_not_tell_a_reload(run: Run, chance: random.Random) -> None:
    silent = _reloads_of(run, _served_later(run, chance))
    run.reloads = [line for line in run.reloads if line not in silent]


@_breaks("reload in the log")
def a_reload_failed(run: Run, chance: random.Random) -> None:
    told = chance.choice(
        (
            "Failed reload version engine: 1",
            "Failed stat config file",
            "Failed create model engine",
            "Failed load engine",
            "create paddle predictor failed",
        )
    )
    t = chance.uniform(1.0, run.end)
    run.reloads.append(run.at(t, "server_log", line=f"E0101 10:00:00.1 7 infer.cpp:283] {told}"))


@_breaks("reload in the log")
def there_are_more_reloads_than_swaps(run: Run, chance: random.Random) -> None:
    line = "W1 begin reload model[uci_housing_model]."
    for _ in run.swapped:
        run.reloads.append(run.at(chance.uniform(1.0, run.end), "server_log", line=line))


@_breaks("last one serves", "no step back")
def one_client_does_not_follow_a_rollback(run: Run, _: random.Random) -> None:
    the_run_ends_on_a_rollback_of_no_ones(run, _)
    back = run.published[-2]["release"]
    run.others.append(run.at(run.end - 2.0, "rollback", release=back))
    for p in run.of(run.clients[0])[-2:]:
        p["value"] = run.value(-1)


@_breaks("live is served")
def the_server_skips_a_release(run: Run, chance: random.Random) -> None:
    # An outage excuses that the server does not load.
    assume(not run.outages)
    release = chance.randrange(1, len(run.published) - 1)
    run.schema = 2
    _replace(run, run.clients, release, release - 1)


@_breaks("live is served")
def the_server_does_not_follow_a_rollback(run: Run, _: random.Random) -> None:
    """Let an older release be live for 5 s after the run, and no answer change."""
    run.schema = 2
    end, live = run.end, run.served[-1][1]
    for t, release in ((end, live - 1 if live else 1), (end + 5.0, live)):
        run.swapped.append(run.at(t, "swapped", digest=run.digest(release), second=int(t)))
        run.others.append(run.at(t, "rollback", release=release + 1))
    for client in run.clients:
        asked = len(run.of(client))
        for n in range(1, 80):
            t = end + 0.1 * n
            p = run.at(t, "prediction", client=client, n=asked + n, sent=t, answered=t)
            run.predictions.append({**p, "value": run.value(live)})
    run.servers[-1]["t"] = run.end


@_breaks("all clients agree", "nothing lost", "live is served")
def one_client_never_gets_a_release(run: Run, chance: random.Random) -> None:
    release = chance.randrange(1, len(run.published) - 1)
    client = run.clients[0]
    run.predictions = [
        p for p in run.predictions if p["client"] != client or run.release_of(p) != release
    ]
