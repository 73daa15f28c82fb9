"""The judge against observations that are wrong in each of the ways a monitor can be."""

from __future__ import annotations

from typing import Optional

import pytest

from harness.checker.outcome import Outcome
from harness.conformance.monitor import judge
from harness.conformance.monitor.observed import (
    KILLED,
    Asked,
    Kill,
    Known,
    Look,
    MonitorRun,
    Observed,
    Told,
)
from harness.support.live_directory import Content

OLD = Known("release 1", {"model": "a", "params": "b"})
NEW = Known("release 2", {"model": "c", "params": "d"})
BAD = Known("the bad one", {"model": "x"}, good=False)


def seen(*contents: tuple[Optional[dict[str, str]], Optional[int]]) -> Observed:
    """An observation with one look a second at these contents; it ends a minute later."""
    looks = [
        Look(float(at), None if files is None else Content(files, second))
        for at, (files, second) in enumerate(contents)
    ]
    return Observed(known=[OLD, NEW, BAD], looks=looks, end=len(contents) + 60.0)


GOOD_SWAP = seen((dict(OLD.files), 10), (dict(NEW.files), 11))


@pytest.mark.parametrize(
    "claim",
    [
        judge.always_one_whole_release,
        judge.settles_whole,
        judge.whole_once_installed,
        judge.server_reloads_every_swap,
        judge.second_never_goes_back,
        judge.time_file_moves_last,
        judge.swaps_at_most(1),
        judge.ends_with("release 2"),
        judge.each_was_live("release 1", "release 2"),
        judge.never_torn_by_a_bad_release,
        judge.keeps_running,
        judge.nothing_outside,
        judge.no_traceback,
        judge.secret_stays_secret,
    ],
)
def test_every_claim_holds_for_a_right_swap(claim: judge.Check) -> None:
    assert claim(GOOD_SWAP) is None


@pytest.mark.parametrize(
    ("claim", "wrong"),
    [
        # A mixture, a release with a file too many, a directory that was gone, a bad release.
        (
            judge.always_one_whole_release,
            seen((dict(OLD.files), 10), ({"model": "c", "params": "b"}, 10), (dict(NEW.files), 11)),
        ),
        (judge.always_one_whole_release, seen(({**NEW.files, "old": "z"}, 11))),
        (judge.always_one_whole_release, seen((dict(OLD.files), 10), (None, None))),
        (judge.always_one_whole_release, seen((dict(BAD.files), 10))),
        (judge.settles_whole, seen((dict(OLD.files), 10), ({"model": "c", "params": "b"}, 10))),
        (judge.settles_whole, seen((dict(OLD.files), 10), (None, None))),
        (judge.whole_once_installed, seen((None, None), ({"model": "c"}, None))),
        # The same second, none at all, an older one, one moved before the files were whole.
        (judge.server_reloads_every_swap, seen((dict(OLD.files), 10), (dict(NEW.files), 10))),
        (judge.server_reloads_every_swap, seen((dict(OLD.files), 10), (dict(NEW.files), None))),
        (
            judge.server_reloads_every_swap,
            seen((dict(OLD.files), 10), ({"model": "c", "params": "b"}, 11), (dict(NEW.files), 11)),
        ),
        (judge.second_never_goes_back, seen((dict(OLD.files), 10), (dict(NEW.files), 9))),
        (
            judge.time_file_moves_last,
            seen((dict(OLD.files), 10), ({"model": "c", "params": "b"}, 11)),
        ),
        (judge.swaps_at_most(1), seen((dict(OLD.files), 10), (dict(OLD.files), 11), ({}, 12))),
        # Lost, out of order, overtaken, never there.
        (judge.ends_with("release 2"), seen((dict(NEW.files), 11), (dict(OLD.files), 12))),
        (judge.ends_with("release 2"), seen()),
        (judge.each_was_live("release 1", "release 2"), seen((dict(NEW.files), 11))),
        (
            judge.each_was_live("release 1", "release 2"),
            seen((dict(NEW.files), 11), (dict(OLD.files), 12)),
        ),
        (judge.never_torn_by_a_bad_release, seen((dict(OLD.files), 10), (dict(BAD.files), 11))),
        (judge.never_torn_by_a_bad_release, seen((dict(OLD.files), 10), (None, None))),
    ],
)
def test_a_claim_is_broken_by_what_it_is_about(claim: judge.Check, wrong: Observed) -> None:
    assert claim(wrong) is not None


def test_a_mixture_for_a_moment_is_seen_by_the_strict_claim_only() -> None:
    looks = [
        Look(0.0, Content(OLD.files, 10)),
        Look(1.0, Content({"model": "c", "params": "b"}, 10)),
        Look(1.1, Content(NEW.files, 11)),
    ]
    passing = Observed(known=[OLD, NEW], looks=looks, end=5.0)
    assert judge.settles_whole(passing) is None
    assert judge.always_one_whole_release(passing) is not None


def _run(log: str = "", ended_itself: bool = False, stop_s: Optional[float] = None) -> Observed:
    return Observed(runs=[MonitorRun(0.0, 1.0, 1, ended_itself, log, stop_s)])


def test_a_monitor_that_ended_is_told_from_one_that_was_ended() -> None:
    assert judge.keeps_running(_run(ended_itself=False)) is None
    evidence = judge.keeps_running(_run("a\nthe reason\n", ended_itself=True))
    assert evidence is not None
    assert "the reason" in evidence


def test_a_traceback_and_a_file_outside_are_found() -> None:
    assert judge.no_traceback(_run("x\nTraceback (most recent call last):\n")) is not None
    assert judge.nothing_outside(Observed(outside=["escaped.txt"])) is not None


def test_a_secret_is_found_in_the_log_and_in_the_process_list() -> None:
    in_log = _run("password: s3cret\n")
    in_log.facts["secret"] = "s3cret"
    in_list = Observed(facts={"secret": "s3cret"}, processes=["wget ftp://u:s3cret@h/"])
    clean = Observed(facts={"secret": "s3cret"}, processes=["wget ftp://h/"])
    rotated = _run("refused: 0ld\n")
    rotated.facts.update({"secret": "s3cret", "old secret": "0ld"})
    assert judge.secret_stays_secret(rotated) is not None
    assert judge.secret_stays_secret(in_log) is not None
    assert judge.secret_stays_secret(in_list) is not None
    assert judge.secret_stays_secret(clean) is None


def test_growth_is_a_leak_and_a_level_is_none() -> None:
    claim = judge.flat("files", 3)
    assert claim(Observed(figures={"files": [float(n) for n in range(40)]})) is not None
    assert claim(Observed(figures={"files": [1.0, 9.0] + [9.0, 10.0] * 20})) is None
    # A look in the middle of a swap, which needs files for a moment, shows no leak and hides none.
    assert (
        claim(Observed(figures={"files": [9.0] * 30 + [15.0, 15.0, 15.0, 9.0, 15.0] * 2})) is None
    )
    leaks = [n + (6.0 if n % 3 else 0.0) for n in range(40)]
    assert claim(Observed(figures={"files": leaks})) is not None


@pytest.mark.parametrize(
    ("killed", "restarted", "left", "fine"),
    [
        (Content(OLD.files, 10), Content(NEW.files, 11), (), True),
        (Content(NEW.files, 11), Content(NEW.files, 11), (), True),
        ("mixture", Content(NEW.files, 11), (), False),
        (None, Content(NEW.files, 11), (), False),
        (Content(OLD.files, 10), Content(OLD.files, 10), (), False),
        (Content(OLD.files, 10), Content(NEW.files, 10), (), False),
        (Content(OLD.files, 10), Content(NEW.files, 11), (".staging-1",), False),
    ],
)
def test_a_kill_is_survived_only_whole_installed_noticed_and_clean(
    killed: object, restarted: Content, left: tuple[str, ...], fine: bool
) -> None:
    after = Content({"model": "c", "params": "b"}, 10) if killed == "mixture" else killed
    assert after is None or isinstance(after, Content)
    kill = Kill("before call 1", KILLED, Content(OLD.files, 10), after, restarted, left)
    observed = Observed(known=[OLD, NEW], kills=[kill])
    assert (judge.every_kill_is_survived(observed) is None) is fine


def _outcome(observed: Observed, claim: judge.Check) -> Outcome:
    return judge.verdict(observed, [claim]).outcome


@pytest.mark.parametrize("code", [None, 0, 125])
def test_a_kill_that_did_not_come_was_not_survived(code: Optional[int]) -> None:
    old, new = Content(OLD.files, 10), Content(NEW.files, 11)
    came = Kill("before call 1", KILLED, old, old, new, ())
    missed = Kill("before call 2", code, old, new, None, ())
    torn = Kill("before call 3", KILLED, old, None, new, ())
    claim = judge.every_kill_is_survived
    assert _outcome(Observed(known=[OLD, NEW], kills=[came]), claim) is Outcome.VALID
    assert _outcome(Observed(known=[OLD, NEW], kills=[came, missed]), claim) is Outcome.UNKNOWN
    assert _outcome(Observed(known=[OLD, NEW], kills=[torn, missed]), claim) is Outcome.INVALID


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_measurements_show_no_growth_and_no_level(count: int) -> None:
    series = Observed(figures={"files": [1.0] * count})
    assert _outcome(series, judge.flat("files", 3)) is Outcome.UNKNOWN
    assert _outcome(Observed(), judge.flat("files", 3)) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("stop_s", "bare_s", "outcome"),
    [
        (0.9, 0.0, Outcome.VALID),
        (1.4, 0.1, Outcome.INVALID),
        (1.4, 0.5, Outcome.VALID),
        # Seen with a good monitor on a machine with 20 programs for each core.
        (1.82, 0.81, Outcome.VALID),
        (10.3, 0.85, Outcome.INVALID),
        (None, 0.1, Outcome.UNKNOWN),
    ],
)
def test_a_second_is_a_second_and_what_the_machine_takes(
    stop_s: Optional[float], bare_s: float, outcome: Outcome
) -> None:
    observed = _run(stop_s=stop_s)
    observed.figures["bare_stop_s"] = [bare_s]
    assert _outcome(observed, judge.stopped_within_1_s) is outcome


@pytest.mark.parametrize(("again", "outcome"), [("no", Outcome.VALID), ("yes", Outcome.INVALID)])
def test_a_pull_that_was_begun_anew_brings_its_beginning_again(
    again: str, outcome: Outcome
) -> None:
    observed = Observed(facts={"beginning came again": again})
    assert _outcome(observed, judge.goes_on_with_its_pull) is outcome
    assert _outcome(Observed(), judge.goes_on_with_its_pull) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("least", "outcome"),
    [([0.5], Outcome.VALID), ([0.1], Outcome.INVALID), ([], Outcome.UNKNOWN)],
)
def test_a_disk_that_was_nearly_full_for_a_moment_was_nearly_full(
    least: list[float], outcome: Outcome
) -> None:
    observed = Observed(figures={"least free": least})
    assert _outcome(observed, judge.disk_stays_free(0.25)) is outcome


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        ([Asked(0.5, "SIGHUP", "release 2")], Outcome.VALID),
        ([Asked(0.5, "SIGHUP", "release 1")], Outcome.INVALID),
        ([], Outcome.UNKNOWN),
    ],
)
def test_a_request_is_followed_by_a_release_that_becomes_live_after_it(
    asked: list[Asked], outcome: Outcome
) -> None:
    observed = seen((dict(OLD.files), 10), (dict(NEW.files), 11))
    observed.asked = asked
    assert _outcome(observed, judge.each_request_was_followed) is outcome


@pytest.mark.parametrize(
    ("allowed", "outcome"),
    [
        ({"release 2": 0.5}, Outcome.VALID),
        ({"release 2": 1.5}, Outcome.INVALID),
        ({}, Outcome.UNKNOWN),
    ],
)
def test_a_release_is_not_live_before_it_may_be(
    allowed: dict[str, float], outcome: Outcome
) -> None:
    observed = seen((dict(OLD.files), 10), (dict(NEW.files), 11))
    observed.allowed = allowed
    assert _outcome(observed, judge.not_live_before_its_time) is outcome


def test_a_bad_release_is_found_however_short_it_was_live() -> None:
    assert judge.never_a_bad_release(GOOD_SWAP) is None
    assert judge.never_a_bad_release(seen((dict(BAD.files), 10), (dict(NEW.files), 11)))


@pytest.mark.parametrize(
    ("tries", "why"),
    [
        ("-1 -1 +1 +2", None),
        # After a kill a notice may come twice.
        ("-1 +1 +1 +2", None),
        ("-1 -2", "the hook never took release 1 (failed 1, failed 2)"),
        ("-1 +2", "the hook never took release 1 (failed 1, took 2)"),
        ("-1 +2 +1", "the hook took the releases in another order (failed 1, took 2, took 1)"),
        ("+1 +2 +1", "the hook took the releases in another order (took 1, took 2, took 1)"),
        ("", "the hook never took release 1 (it was told nothing)"),
    ],
)
def test_a_hook_takes_each_release_in_its_turn(tries: str, why: Optional[str]) -> None:
    observed = Observed(told=[Told(one[0] == "+", one[1:]) for one in tries.split()])
    assert judge.told_in_order("1", "2")(observed) == why


def test_a_hook_that_never_failed_shows_nothing_about_tries() -> None:
    never, once = Observed(told=[Told(True, "1")]), Observed(told=[Told(False, "1")])
    assert _outcome(never, judge.told_again(1)) is Outcome.UNKNOWN
    assert _outcome(once, judge.told_again(1)) is Outcome.VALID


def _message(number: int, **other: object) -> Told:
    message = {
        **{"model": "m", "release": number, "digest": f"d{number}", "times": {"swapped": 1.5}},
        **{"previous": number - 1 or None, **other},
    }
    return Told(True, str(number), message)


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ([_message(1), _message(1), _message(2)], Outcome.VALID),
        ([], Outcome.UNKNOWN),
        ([_message(1, model="n")], Outcome.INVALID),
        ([_message(1, digest="d2")], Outcome.INVALID),
        ([_message(1), _message(2, previous=None)], Outcome.INVALID),
        ([_message(1, times=None)], Outcome.INVALID),
        ([Told(False, "")], Outcome.INVALID),
    ],
)
def test_a_message_says_which_release_of_which_model(told: list[Told], outcome: Outcome) -> None:
    known = [Known(f"release {n}", {"model": str(n)}, sha256=f"d{n}") for n in (1, 2)]
    observed = Observed(known=known, told=told, facts={"model": "m"})
    assert _outcome(observed, judge.messages_are_right) is outcome


@pytest.mark.parametrize(
    ("told", "outcome"),
    [("0", Outcome.VALID), ("1", Outcome.INVALID), (None, Outcome.UNKNOWN)],
)
def test_a_hook_is_told_of_a_release_when_it_is_served(
    told: Optional[str], outcome: Outcome
) -> None:
    observed = Observed(facts={} if told is None else {"told while not served": told})
    assert _outcome(observed, judge.not_told_too_early) is outcome


@pytest.mark.parametrize(
    ("ready", "why"),
    [
        ([200.0, 503.0, 200.0], None),
        ([200.0], "asked whether it is ready, the monitor answered 200"),
        ([], "asked whether it is ready, the monitor answered nothing"),
    ],
)
def test_a_monitor_is_ready_while_the_release_is_served(
    ready: list[float], why: Optional[str]
) -> None:
    assert judge.readiness_was(200, 503, 200)(Observed(figures={"ready": ready})) == why


def test_a_refusal_must_have_been_met_and_said() -> None:
    for refused, log, outcome in (
        (1.0, "login failed\n", Outcome.VALID),
        (0.0, "login failed\n", Outcome.INVALID),
        (1.0, "\n", Outcome.INVALID),
        (1.0, "the server answered 401 Unauthorized\n", Outcome.VALID),
        (1.0, "ftplib.error_perm: 530 Sorry.\n", Outcome.VALID),
        (1.0, "Permission denied: user=stranger, access=EXECUTE\n", Outcome.VALID),
        # What every log has, or says of a release that is not there.
        (1.0, "2026-11-23 05:30:12,403 INFO remote(/401) has no donefile\n", Outcome.INVALID),
        (1.0, "_ftp_host: 127.0.0.1:5301 http://h:403/x\n", Outcome.INVALID),
        (1.0, "_ftp_password: ***\n", Outcome.INVALID),
        # The scenario's own name, in an address.
        (1.0, "remote(/permission-comes-later-1) has no donefile\n", Outcome.INVALID),
    ):
        observed = _run(log)
        observed.figures["logins refused"] = [refused]
        assert _outcome(observed, judge.refusal_was_met_and_said) is outcome


def test_claims_that_hold_do_not_pass_a_scenario_that_did_not_get_to_its_end() -> None:
    cut_short = Observed(known=[OLD], unmet=["waited 15 s for a pull"])
    assert judge.verdict(cut_short, ()).outcome is Outcome.UNKNOWN
    assert judge.verdict(Observed(), ()).outcome is Outcome.VALID
    assert judge.verdict(cut_short, (judge.ends_with("x"),)).outcome is Outcome.INVALID
