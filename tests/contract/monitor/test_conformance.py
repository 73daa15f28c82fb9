"""Every scenario of the conformance suite against our monitor, by its command line.

The default run takes all scenarios about the monitor's own logic over HTTP. It takes a part of them
over FTP and a few over HDFS. `make proof` takes the whole matrix.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.checker.outcome import Outcome
from harness.conformance.monitor import judge
from harness.conformance.monitor.places import PLACES
from harness.conformance.monitor.places.base import Place
from harness.conformance.monitor.places.hdfs import HdfsPlace, WebHdfsPlace
from harness.conformance.monitor.scenarios import all_scenarios
from harness.conformance.monitor.scenarios.base import Scenario
from harness.conformance.monitor.settings import Settings
from harness.conformance.monitor.suite import Stock, run_pair
from harness.remotes.hdfs.local import LocalHdfs
from tests.broken.parts import parts
from tests.contract.monitor.conftest import KNOWN
from tests.local_remotes import ONE_WORKER, healthy

SCENARIOS = {s.name: s for s in all_scenarios() if s.name != "whole-throughout"}
OURS = Settings("", knows=KNOWN.settings["knows"], controls=KNOWN.settings["controls"])
# Over FTP: what depends on the protocol. The rest happens after the pull, whatever the remote.
SHORT_FTP = {
    "happy-path",
    "touched-without-change",
    "remote-down-between-polls",
    "remote-cut-in-transfer",
    "remote-silent-in-transfer",
    "replaced-during-pull",
    "replaced-after-a-cut",
    "wrong-credentials",
    "password-stays-secret",
    "ftp-server-of-other-habits",
}
# Through fsspec: whether a release arrives, how a monitor tells two files apart, and what a break
# does to the many transfers.
SHORT_FSSPEC = {"happy-path", "empty-donefile", "remote-cut-in-transfer", "replaced-after-a-cut"}
# Each has a sibling in the default run that takes the same path through a monitor.
PROOF_HTTP = {
    "clock-behind-the-time-file",
    "password-stays-secret",
    "foreign-donefile",
    "kill-in-first-install",
    "corrupt-tarball",
    "html-instead-of-tarball",
    "bomb",
    "traversal-within",
    "hard-link",
    "named-pipe",
    "empty-parameters",
    "two-in-one-second",
    "remote-down-at-start",
    "tarball-without-trailer",
    "empty-tarball",
    "device",
    "wrong-top-folder",
    "temporary-path-on-another-disk",
    "ambiguous-model",
    "pin-keeps",
}
# The happy path on HDFS is tests/e2e's; a poll of the hdfs type is a JVM of seconds.
SHORT_HDFS = [
    pytest.param("webhdfs", "remote-cut-in-transfer"),
    pytest.param("webhdfs", "same-size-and-second", marks=pytest.mark.proof),
    pytest.param("hdfs", "happy-path", marks=pytest.mark.proof),
]


def _pairs(place: str, proof: set[str]) -> list[object]:
    """Return all scenarios that apply to the place; those in ``proof`` only for `make proof`."""
    wanted = [s for s in SCENARIOS.values() if place == "http" or s.name != "many-releases"]
    return [
        pytest.param(s, id=s.name, marks=[pytest.mark.proof] if s.name in proof else [])
        for s in wanted
        if s.applies(place, OURS)
    ]


def test_the_default_run_has_each_first_case_of_a_broken_monitor() -> None:
    cases = {f"ftp/{name}" for name in SHORT_FTP}
    cases |= {f"http/{name}" for name in set(SCENARIOS) - PROOF_HTTP}
    assert {part.breaks[0].name for part in parts("monitor")} <= cases


def _run(scenario: Scenario, place: Place, stock: Stock, folder: Path) -> None:
    """Fail with the scenario's title, the evidence, and what a user would lose."""
    verdict, observed = run_pair(scenario, place, stock, folder)
    if verdict.evidence.startswith("not run: "):
        pytest.skip(verdict.evidence)
    if verdict.outcome is Outcome.VALID and scenario.whole_throughout and observed.looks:
        torn = judge.always_one_whole_release(observed)
        assert torn is None, f"{scenario.title} But {torn}; log:\n{observed.log[-3000:]}"
    assert verdict.outcome is Outcome.VALID, (
        f"{scenario.title} {verdict.outcome.name}: {verdict.evidence}. Otherwise: {scenario.loss}\n"
        f"the monitor's log:\n{observed.log[-3000:]}"
    )


@pytest.mark.parametrize("scenario", _pairs("http", PROOF_HTTP))
def test_our_monitor_does_over_http_what_the_scenario_says(
    scenario: Scenario, http: Place, stock: Stock, tmp_path: Path
) -> None:
    _run(scenario, http, stock, tmp_path / "stage")


@pytest.mark.parametrize("scenario", _pairs("ftp", set(SCENARIOS) - SHORT_FTP))
def test_our_monitor_does_over_ftp_what_the_scenario_says(
    scenario: Scenario, ftp: Place, stock: Stock, tmp_path: Path
) -> None:
    _run(scenario, ftp, stock, tmp_path / "stage")


@pytest.mark.parametrize("scenario", _pairs("fsspec", set(SCENARIOS) - SHORT_FSSPEC))
def test_our_monitor_does_through_fsspec_what_the_scenario_says(
    scenario: Scenario, fsspec: Place, stock: Stock, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec", reason="fsspec is an extra of the monitor")
    _run(scenario, fsspec, stock, tmp_path / "stage")


@ONE_WORKER
@pytest.mark.parametrize(("kind", "name"), SHORT_HDFS)
def test_our_monitor_does_on_a_real_hdfs_what_the_scenario_says(
    kind: str, name: str, request: pytest.FixtureRequest, stock: Stock, tmp_path: Path
) -> None:
    pytest.importorskip("jgo", reason="the local HDFS fetches its jars with jgo")
    remote = healthy("hdfs", request)
    assert isinstance(remote, LocalHdfs)
    place = WebHdfsPlace.over(remote) if kind == "webhdfs" else HdfsPlace.over(remote)
    place.start()
    _run(SCENARIOS[name], place, stock, tmp_path / "stage")


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["webhdfs", "hdfs"])
def test_our_monitor_conforms_on_a_real_hdfs_in_every_scenario(
    name: str, stock: Stock, tmp_path: Path
) -> None:
    pytest.importorskip("jgo", reason="the local HDFS fetches its jars with jgo")
    with PLACES[name](tmp_path / "hdfs") as place:
        for scenario in SCENARIOS.values():
            if scenario.applies(name, stock.settings) and scenario.name != "many-releases":
                _run(scenario, place, stock, tmp_path / scenario.name)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["kill-anywhere", "kill-in-first-install", "many-releases"])
def test_our_monitor_survives_every_kill_and_a_thousand_releases(
    name: str, http: Place, stock: Stock, tmp_path: Path
) -> None:
    whole = Stock(stock.releases, dataclasses.replace(stock.settings, short=False))
    _run(SCENARIOS[name], http, whole, tmp_path / "stage")
