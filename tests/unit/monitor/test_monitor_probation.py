"""``--on_bad_release=rollback``: what condemns a release, and a kill while it is taken back."""

from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path
from typing import Optional

import pytest

from harness.support.waits import wait_for
from monitor import log
from monitor.decisions.identity import Identity
from monitor.decisions.machine import Event
from monitor.decisions.probation import Probation
from monitor.decisions.serving import Heard, Kind, Phase
from monitor.live.kept import listed
from monitor.live.layout import Layout
from monitor.live.state import Serving, read_installed, read_quarantine, read_serving, write_serving
from monitor.served.confirm import Confirmer
from monitor.served.rollback import is_condemned, take_back
from monitor.stop import Stop
from monitor.watch.events import EventFile
from monitor.watch.figures import Figures
from monitor.watch.watch import Watch

from .answers import Answer, Answers
from .fixtures import MODEL, Site, closing_all, manifest_of, model_files, options_for, tarball
from .processes import Here, general
from .stepping import MakeWatch, live, poll, release_in
from .test_monitor_kill import _forks, _Killer, one_poll, whole_release

OURS, OTHER = Heard(Kind.OURS, ""), Heard(Kind.OTHER, "another")
FAILED, SILENT = Heard(Kind.FAILED, "500"), Heard(Kind.SILENT, "stuck")
CLOSED = "http://127.0.0.1:1"
PROBE = {"feed": {"x": [[1] * 13]}, "expected": {"price": [[2.0]]}}
GATED = {"server": CLOSED, "on_bad_release": "rollback"}


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def open_probation(*, was_served: bool = True) -> Probation:
    one = Probation(60.0)
    one.begin(1000.0, was_served=was_served)
    return one


def test_the_probation_ends_and_needs_a_release_that_was_served_before() -> None:
    one = open_probation()
    assert one.is_open(1059.9)
    assert not one.is_open(1060.0)
    assert not open_probation(was_served=False).is_open(1000.0)
    assert not Probation(60.0).is_open(0.0)


def test_a_server_that_ended_condemns_at_once() -> None:
    said = open_probation().hear(Heard(Kind.ENDED, "refused"), Phase.WAITING)
    assert said == "the server ended after the swap: refused"


@pytest.mark.parametrize("heard", [FAILED, SILENT], ids=["failed", "silent"])
def test_failures_condemn_only_in_a_row(heard: Heard) -> None:
    one = open_probation()
    for again in (heard, heard, heard, heard, OURS, heard, heard, heard, heard):
        assert one.hear(again, Phase.WAITING) is None
    assert one.hear(heard, Phase.WAITING) == heard.text
    # The next release starts with no failures counted.
    one.begin(2000.0, was_served=True)
    assert one.hear(heard, Phase.WAITING) is None


def test_answers_of_another_release_condemn_once_this_one_was_served_or_is_late() -> None:
    one = open_probation()
    for _ in range(20):
        assert one.hear(OTHER, Phase.WAITING) is None
    assert one.hear(OURS, Phase.SERVED) is None
    assert [one.hear(OTHER, Phase.SERVED) for _ in range(5)] == [None] * 4 + ["another"]
    assert open_probation().hear(OTHER, Phase.LATE) == "another"


def test_a_release_that_is_answering_or_just_loaded_is_not_condemned_as_late() -> None:
    one = open_probation()
    for heard in (OURS, Heard(Kind.RELOADED, "")):
        assert one.hear(heard, Phase.LATE) is None
    assert one.hear(OTHER, Phase.LATE) == "another"


def installed(site: Site, local: Path, *numbers: int) -> None:
    for number in numbers:
        site.publish(number)
        assert one_poll(local, site.url, keep="1") is Event.SWAPPED


def test_a_bad_release_is_quarantined_and_the_last_good_one_is_back(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one = watch(**GATED)
    for number in (1, 2):
        site.publish(number)
        assert poll(one) is Event.SWAPPED
    identity = read_installed(one.layout.live).identity
    assert identity is not None
    assert take_back(one.options, identity, "it lies", EventFile("", MODEL))
    assert release_in(live(tmp_path)) == 1
    bad = read_quarantine(one.layout.quarantine)
    assert bad is not None
    assert (bad.identity, bad.until) == (identity, None)
    assert "it lies" in bad.reason
    assert [kept.rolled_back for kept in listed(one.layout)] == [True]
    # It stays out over polls and restarts, until another release is announced.
    assert poll(one) is Event.QUARANTINED
    assert poll(watch(**GATED)) is Event.QUARANTINED
    # A second call does nothing, because another release is live.
    assert not take_back(one.options, identity, "it lies", EventFile("", MODEL))
    assert release_in(live(tmp_path)) == 1
    one = watch(**GATED)
    site.publish(3)
    assert poll(one) is Event.SWAPPED
    assert release_in(live(tmp_path)) == 3


def test_without_a_good_release_the_bad_one_stays(
    watch: MakeWatch, site: Site, tmp_path: Path, lines: list[str]
) -> None:
    one = watch(**GATED)
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    identity = read_installed(one.layout.live).identity
    assert identity is not None
    assert not take_back(one.options, identity, "it lies", EventFile("", MODEL))
    assert "ERROR release 1 is bad, and no good release is kept: it lies" in lines
    assert release_in(live(tmp_path)) == 1
    assert read_quarantine(one.layout.quarantine) is None


def test_the_option_keeps_a_release_and_needs_a_way_to_ask(
    here: Here, site: Site, tmp_path: Path
) -> None:
    assert options_for(tmp_path / "local", general_host=site.url, **GATED).keep == 1
    assert options_for(tmp_path / "local", general_host=site.url, keep="3", **GATED).keep == 3
    code, _, err = here(*general(site, tmp_path), "--once", "--on_bad_release=rollback")
    assert code == 2
    assert "--on_bad_release=rollback needs --server or --server_log" in err


@pytest.mark.parametrize("phase", [Phase.SERVED, Phase.LATE], ids=["served", "not served"])
def test_a_release_is_condemned_only_if_the_one_before_was_served(
    watch: MakeWatch, site: Site, tmp_path: Path, phase: Phase
) -> None:
    one = watch(**GATED)
    site.publish(1)
    assert poll(one) is Event.SWAPPED
    before = read_installed(one.layout.live)
    assert before.identity is not None
    write_serving(one.layout.serving, Serving(before.identity, before.second, phase.name, ""))
    site.publish(2)
    assert poll(one) is Event.SWAPPED
    figures = Figures()
    confirmer = Confirmer(one.options, figures, Stop())
    for _ in range(4):
        # The release has no probe, so only the state can tell; a monitor that restarts asks again.
        confirmer.step()
    known = read_serving(one.layout.serving)
    assert known is not None
    assert known.was_served is (phase is Phase.SERVED)


def served_and_bad(
    watch: MakeWatch, site: Site, load_s: Optional[float] = None, **given: str
) -> tuple[Watch, Confirmer]:
    """Three releases that were served, and a fourth that the server does not serve."""
    one = watch(keep="3", **{**GATED, **given})
    for number in (1, 2, 3, 4):
        packed = tarball(model_files(number))
        site.publish(number, packed, donefile=manifest_of(number, packed, probe=PROBE))
        assert poll(one) is Event.SWAPPED
        if number < 4:
            now = read_installed(one.layout.live)
            assert now.identity is not None
            served = Serving(now.identity, now.second, "SERVED", "", load_s=load_s)
            write_serving(one.layout.serving, served)
    return one, Confirmer(one.options, Figures(), Stop())


def test_a_server_that_stays_down_costs_one_release_and_not_the_kept_ones(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one, confirmer = served_and_bad(watch, site)
    for _ in range(10):
        confirmer.step()
    assert release_in(live(tmp_path)) == 3
    bad = read_quarantine(one.layout.quarantine)
    assert bad is not None
    assert bad.identity.release == 4
    assert [kept.rolled_back for kept in listed(one.layout)] == [False, False, True]
    assert poll(one) is Event.QUARANTINED
    # Nor does a restart of the monitor judge the release that is back.
    again = Confirmer(one.options, Figures(), Stop())
    for _ in range(5):
        again.step()
    assert release_in(live(tmp_path)) == 3


@pytest.mark.parametrize("looks", [0, 1], ids=["not asked", "asked once"])
def test_a_release_that_was_replaced_before_it_was_served_does_not_come_back(
    watch: MakeWatch, site: Site, tmp_path: Path, looks: int
) -> None:
    one = watch(keep="2", **GATED)
    confirmer = Confirmer(one.options, Figures(), Stop())
    for number in (1, 2, 3):
        packed = tarball(model_files(number))
        site.publish(number, packed, donefile=manifest_of(number, packed, probe=PROBE))
        assert poll(one) is Event.SWAPPED
        if number == 1:
            now = read_installed(one.layout.live)
            assert now.identity is not None
            write_serving(one.layout.serving, Serving(now.identity, now.second, "SERVED", ""))
            confirmer.step()
        elif number == 2:
            for _ in range(looks):
                confirmer.step()
    # A restart in between changes nothing.
    confirmer = Confirmer(one.options, Figures(), Stop())
    for _ in range(10):
        confirmer.step()
    assert release_in(live(tmp_path)) == 1


def test_a_release_right_after_a_rollback_is_not_blamed_for_a_dead_server(
    watch: MakeWatch, site: Site, tmp_path: Path
) -> None:
    one, confirmer = served_and_bad(watch, site)
    while release_in(live(tmp_path)) != 3:
        confirmer.step()
    packed = tarball(model_files(5))
    site.publish(5, packed, donefile=manifest_of(5, packed, probe=PROBE))
    assert poll(one) is Event.SWAPPED
    for _ in range(10):
        confirmer.step()
    assert release_in(live(tmp_path)) == 5


@pytest.mark.parametrize("command", [["rollback"], ["pin", "3"]], ids=["rollback", "pin"])
def test_a_release_that_a_person_brought_back_is_not_judged(
    watch: MakeWatch, site: Site, here: Here, tmp_path: Path, command: list[str]
) -> None:
    one, confirmer = served_and_bad(watch, site)
    installed = read_installed(one.layout.live)
    assert installed.identity is not None
    served = Serving(installed.identity, installed.second, "SERVED", "")
    write_serving(one.layout.serving, served)
    where = [f"--local_path={tmp_path}/local", f"--local_model_name={MODEL}"]
    assert here(*command, *where)[0] == 0
    for _ in range(5):
        confirmer.step()
    assert release_in(live(tmp_path)) == 3
    assert read_quarantine(one.layout.quarantine) is None


@pytest.mark.parametrize(
    ("given", "load_s", "live_after"),
    [({}, None, 4), ({}, 0.1, 3), ({"served_within": "0.3"}, None, 3)],
    ids=["no load seen", "load seen", "limit given"],
)
def test_a_late_release_is_bad_only_if_the_limit_is_known(
    watch: MakeWatch,
    site: Site,
    tmp_path: Path,
    *,
    given: dict[str, str],
    load_s: Optional[float],
    live_after: int,
) -> None:
    server = Answers()
    with closing_all(server):
        server.otherwise = Answer(200, b"{}")
        more = {"server": server.url, "tick": "0.1", **given}
        one, confirmer = served_and_bad(watch, site, load_s, **more)

        def judged() -> bool:
            time.sleep(confirmer.step())
            return late(one) or read_quarantine(one.layout.quarantine) is not None

        wait_for(judged, "the release to be late or bad", 20)
        for _ in range(3):
            confirmer.step()
    assert release_in(live(tmp_path)) == live_after
    bad = read_quarantine(one.layout.quarantine)
    assert bad is None or "still answers as another release" in bad.reason


def late(one: Watch) -> bool:
    known = read_serving(one.layout.serving)
    return known is not None and known.phase == Phase.LATE.name


def _take_back_in_child(number: int, local: Path, url: str) -> None:
    log.set_up(debug=False, as_json=False, stream=io.StringIO())
    options = options_for(local, general_host=url, **GATED)
    identity = read_installed(options.live).identity
    assert identity is not None
    _Killer(number).arm()
    os._exit(0 if take_back(options, identity, "it lies", EventFile("", MODEL)) else 4)


@pytest.mark.parametrize(
    "stride", [3, pytest.param(1, marks=pytest.mark.proof)], ids=["every third change", "every one"]
)
def test_a_kill_at_any_step_is_completed_by_the_next_run(
    tmp_path: Path, site: Site, quiet: None, stride: int
) -> None:
    local = tmp_path / "local"
    installed(site, local, 1)
    good, number, killed = 1, 0, True
    while killed:
        number += stride
        bad = good + 1
        site.publish(bad)
        assert one_poll(local, site.url, keep="1") is Event.SWAPPED
        child = _forks.Process(target=_take_back_in_child, args=(number, local, site.url))
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
        killed = child.exitcode != 0
        where = f"killed before change {number}"
        assert whole_release(live(tmp_path)) in (good, bad), where
        # The next run: a start, a poll, and the confirmer's first looks.
        assert one_poll(local, site.url, **GATED) in (Event.INSTALLED, Event.QUARANTINED), where
        options = options_for(local, general_host=site.url, **GATED)
        layout = Layout(options.live)
        if is_condemned(layout):
            confirmer = Confirmer(options, Figures(), Stop())
            confirmer.step()
        if read_quarantine(layout.quarantine) is None:
            # Killed before the quarantine: the server condemns the release again.
            assert whole_release(live(tmp_path)) == bad, where
            assert take_back(options, identity_of(layout), "it lies", EventFile("", MODEL)), where
        assert whole_release(live(tmp_path)) == good, where
        assert one_poll(local, site.url, **GATED) is Event.QUARANTINED, where
        kept = [(one.installed.label, one.rolled_back) for one in listed(layout)]
        assert kept == [(f"release {bad}", True)], where
        left = {path.name for path in local.iterdir()}
        assert left == {MODEL, f".{MODEL}.monitor"}, where
        good = bad + 1
        site.publish(good)
        assert one_poll(local, site.url, keep="1") is Event.SWAPPED, where
    assert number > 10


def _swap_and_judge(local: Path, url: str) -> bool:
    """Install what is announced, and ask the server. Return whether the release is quarantined."""
    one_poll(local, url, **GATED)
    options = options_for(local, general_host=url, **GATED)
    confirmer = Confirmer(options, Figures(), Stop())
    for _ in range(10):
        confirmer.step()
    return read_quarantine(Layout(options.live).quarantine) is not None


def _swap_and_judge_in_child(number: int, local: Path, url: str) -> None:
    log.set_up(debug=False, as_json=False, stream=io.StringIO())
    _Killer(number).arm()
    os._exit(0 if _swap_and_judge(local, url) else 4)


@pytest.mark.parametrize(
    "stride", [7, pytest.param(1, marks=pytest.mark.proof)], ids=["every seventh", "every one"]
)
def test_a_kill_between_swap_and_rollback_spares_no_bad_release(
    tmp_path: Path, site: Site, quiet: None, stride: int
) -> None:
    number, killed = 0, True
    while killed:
        number += stride
        local = tmp_path / str(number)
        for release in (1, 2):
            packed = tarball(model_files(release))
            site.publish(release, packed, donefile=manifest_of(release, packed, probe=PROBE))
            if release == 1:
                assert one_poll(local, site.url, keep="1") is Event.SWAPPED
                served = read_installed(str(local / MODEL))
                assert served.identity is not None
                layout = Layout(str(local / MODEL))
                known = Serving(served.identity, served.second, Phase.SERVED.name, "")
                write_serving(layout.serving, known)
        child = _forks.Process(target=_swap_and_judge_in_child, args=(number, local, site.url))
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
        killed = child.exitcode != 0
        where = f"killed before change {number}"
        assert whole_release(local / MODEL) in (1, 2), where
        assert _swap_and_judge(local, site.url), where
        assert whole_release(local / MODEL) == 1, where
    assert number > 40


def identity_of(layout: Layout) -> Identity:
    identity = read_installed(layout.live).identity
    assert identity is not None
    return identity
