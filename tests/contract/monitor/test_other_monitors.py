"""Other monitors than ours: each broken one is caught in its scenario, and a right one passes.

A suite that was only tried on our own monitor proves nothing. So a small monitor breaks each
promise on purpose here. While it keeps the promise, it passes the same scenario.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from harness.checker.outcome import Outcome
from harness.checker.verdict import Verdict
from harness.conformance.monitor.observed import Observed
from harness.conformance.monitor.places import PLACES
from harness.conformance.monitor.places.base import Place
from harness.conformance.monitor.scenarios import all_scenarios
from harness.conformance.monitor.settings import Settings
from harness.conformance.monitor.suite import Stock, run_pair
from tests.broken.parts import parts
from tests.contract.monitor.tiny_monitor import BROKEN

HERE = Path(__file__).parent
SCENARIOS = {scenario.name: scenario for scenario in all_scenarios()}
TINY = (
    f"{shlex.quote(sys.executable)} -S {shlex.quote(str(HERE / 'tiny_monitor.py'))} "
    "--base {general_host}{remote_path} --model {remote_model_name} "
    "--donefile {remote_donefile_name} --into {local_path} --live {local_model_name} "
    "--time-file {local_timestamp_file} --tmp {local_tmp_path} --top {unpacked_filename} "
    "--every {interval} --token={http_token}"
)
TINY_WEBHDFS = (
    TINY.replace("{general_host}", "{webhdfs_url}/webhdfs/v1")
    + " --query '?op=OPEN&user.name={hdfs_user}'"
)
CURL = (
    f"sh {shlex.quote(str(HERE / 'curl_monitor.sh'))} {{general_host}}{{remote_path}} "
    "ftp://{ftp_username}:{ftp_password}@{ftp_host}:{ftp_port}{remote_path} "
    "{remote_donefile_name} {remote_model_name} {local_path} {local_model_name} "
    "{local_timestamp_file} {unpacked_filename} {interval}"
)
# Short waits: what a broken monitor never does is waited for in vain.
QUICK = Settings(
    TINY,
    interval=0.1,
    patience=3.0,
    recovery=4.0,
    silence=4.0,
    short=True,
    count=24,
    knows=frozenset({"http_token"}),
    # Another project's monitor has ways of its own.
    controls={
        "look": ("SIGUSR1",),
        "hold": ("touch {local_path}/held",),
        "resume": ("rm {local_path}/held",),
    },
)

# What is broken, the scenario that has to catch it, and the evidence it has to give.
CAUGHT = [
    ("copies-into-place", "whole-at-every-instant", "the live directory was torn"),
    ("renames-twice", "kill-anywhere", "the live directory was absent"),
    ("remembers-too-early", "donefile-before-model", "the live directory was release 0"),
    ("remembers-too-late", "replaced-during-pull", "the live directory was release 1"),
    ("goes-back", "clock-behind-the-time-file", "the time file went back"),
    ("keeps-the-second", "happy-path", "has the same second as the release before"),
    ("sleeps-by-the-clock", "clock-set-back", "never live in its turn: release 2"),
    ("unpacks-anywhere", "traversal-within", "written outside"),
    ("follows-links", "symbolic-link", "written outside"),
    ("leaves-tarballs", "many-releases", "files grew"),
    ("leaks-descriptors", "many-releases", "descriptors grew"),
    ("sees-times-only", "two-in-one-second", "never live in its turn: release 2"),
    ("sees-touches", "touched-without-change", "2 reloads where 1 releases were announced"),
    ("says-the-password", "password-stays-secret", "the password is in the log"),
    ("trusts-any-bytes", "bytes-do-not-match-manifest", "of a bad release"),
    ("trusts-any-bytes", "encoded-manifest", "of a bad release"),
    ("reads-plain-manifests", "encoded-manifest", "of a bad release"),
    ("loads-any-graph", "ambiguous-model", "2 reloads where 1 releases were announced"),
    ("loads-any-graph-late", "ambiguous-model", "2 reloads where 1 releases were announced"),
    ("trusts-the-size", "bytes-do-not-match-manifest", "of a bad release"),
    ("ends-at-a-broken-pull", "remote-cut-in-transfer", "the monitor ended by itself"),
    ("waits-for-ever", "remote-silent-in-transfer", "the live directory was release 0"),
    ("deaf-in-a-pull", "stops-in-a-pull", "SIGTERM took"),
    ("keeps-old-files", "files-of-the-old-release-go", "vocabulary/words.txt of release 1"),
    ("sleeps-after-a-swap", "happy-path", "never live in its turn: release 2"),
    ("ends-when-refused", "remote-refuses", "the monitor ended by itself"),
    ("says-the-password", "wrong-token", "the password is in the log"),
    ("hides-refusals", "wrong-credentials", "its log does not say that it was refused"),
    ("ends-without-a-donefile", "donefile-gone-and-back", "the monitor ended by itself"),
    ("only-goes-up", "older-release-announced", "at the end the live directory was release 2"),
    ("resumes-blindly", "replaced-after-a-cut", "embedding.bin of no release"),
    ("knows-one-packer", "tarballs-of-other-packers", "never live in its turn: release 2"),
    ("installs-what-macos-adds", "tarballs-that-people-make", "._model.pdmodel of no release"),
    ("unpacks-any-size", "bomb", "of the disk stayed free"),
    ("installs-what-fits", "disk-full-while-unpacking", "the live directory stayed torn"),
    ("stages-where-it-pulls", "temporary-path-on-another-disk", "was release 0"),
    ("forgets-rights", "rights-stay", "mode and owner of the live directory were"),
    ("refuses-links", "live-directory-is-a-link", "never live in its turn: release 1"),
    ("knows-no-layers", "live-directory-in-an-image", "never live in its turn: release 1"),
    ("moves-the-time-file-early", "live-directory-is-a-mount-point", "has the same second"),
    ("ends-when-it-cannot-swap", "live-directory-read-only", "the monitor ended by itself"),
    ("deaf-to-requests", "look-at-once", "release 2 did not become live after SIGUSR1"),
    ("forgets-a-hold", "hold-keeps", "too early"),
    ("ends-after-a-kill", "kill-anywhere", "the monitor ended by itself"),
]


def _quick(command: str) -> Settings:
    return dataclasses.replace(QUICK, command=command)


def _patient(command: str) -> Settings:
    """Return settings with time for a busy machine, for a monitor that fulfils every wait."""
    return dataclasses.replace(QUICK, command=command, patience=60.0, recovery=60.0)


def _judged(
    settings: Settings, scenario: str, place: Place, stock: Stock, folder: Path
) -> tuple[Verdict, Observed]:
    verdict, observed = run_pair(
        SCENARIOS[scenario], place, Stock(stock.releases, settings), folder
    )
    if verdict.evidence.startswith("not run: "):
        pytest.skip(verdict.evidence)
    return verdict, observed


def test_every_promise_that_the_tiny_monitor_can_break_is_broken_here() -> None:
    assert {broken for broken, _, _ in CAUGHT} == set(BROKEN)


# Scenarios in which the default run tries the small right monitor. The other scenarios of CAUGHT
# have our monitor as the right one (test_conformance.py).
SHORT_RIGHT = {
    "happy-path",
    "whole-at-every-instant",
    "kill-anywhere",
    "replaced-during-pull",
    "remote-cut-in-transfer",
    "wrong-token",
    "look-at-once",
    "hold-keeps",
}


# `make proof-short` catches a patch of our monitor in the same scenario, by the same evidence.
FOUND_IN_A_PATCH = {
    ("copies-into-place", "whole-at-every-instant"),
    ("remembers-too-early", "donefile-before-model"),
    ("remembers-too-late", "replaced-during-pull"),
    ("keeps-the-second", "happy-path"),
    ("leaves-tarballs", "many-releases"),
    ("leaks-descriptors", "many-releases"),
    ("sees-touches", "touched-without-change"),
    ("says-the-password", "password-stays-secret"),
    ("trusts-any-bytes", "bytes-do-not-match-manifest"),
    ("deaf-in-a-pull", "stops-in-a-pull"),
    ("keeps-old-files", "files-of-the-old-release-go"),
    ("ends-without-a-donefile", "donefile-gone-and-back"),
    ("only-goes-up", "older-release-announced"),
    ("forgets-rights", "rights-stay"),
    ("deaf-to-requests", "look-at-once"),
    ("forgets-a-hold", "hold-keeps"),
}


def _marks(broken: str, scenario: str) -> list[pytest.MarkDecorator]:
    # A bomb unpacks 256 MiB. A monitor that follows the link copies its own copies for 20 s.
    long = scenario in ("bomb", "symbolic-link") or (broken, scenario) in FOUND_IN_A_PATCH
    return [pytest.mark.proof] if long else []


def test_what_is_found_in_a_patch_is_the_first_case_of_a_patch() -> None:
    first = {part.breaks[0].name.partition("/")[2] for part in parts("monitor")}
    assert {scenario for _, scenario in FOUND_IN_A_PATCH} <= first


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, marks=[] if scenario in SHORT_RIGHT else [pytest.mark.proof])
        for scenario in sorted({scenario for _, scenario, _ in CAUGHT})
    ],
)
def test_a_small_right_monitor_with_options_of_its_own_passes(
    scenario: str, http: Place, stock: Stock, tmp_path: Path
) -> None:
    verdict, observed = _judged(_patient(TINY), scenario, http, stock, tmp_path / "stage")
    assert verdict.outcome is Outcome.VALID, f"{verdict.evidence}\n{observed.log[-2000:]}"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case[0]}-{case[1]}", marks=_marks(case[0], case[1]))
        for case in CAUGHT
    ],
)
def test_a_broken_monitor_is_caught_where_it_should_be(
    case: tuple[str, str, str], http: Place, stock: Stock, tmp_path: Path
) -> None:
    broken, scenario, evidence = case
    command = f"{TINY} --broken {broken}"
    # If the monitor ends, the scenario waits for nothing in vain.
    ends = evidence in ("the monitor ended by itself", "SIGTERM took")
    settings = _patient(command) if ends else _quick(command)
    verdict, observed = _judged(settings, scenario, http, stock, tmp_path / "stage")
    assert verdict.outcome is Outcome.INVALID, (
        f"a monitor that {BROKEN[broken]} got through {scenario}: {verdict}\n{observed.log[-2000:]}"
    )
    assert evidence in verdict.evidence


@pytest.mark.proof
def test_one_that_ends_when_it_is_refused_is_caught_on_a_real_hdfs_too(
    stock: Stock, tmp_path: Path
) -> None:
    pytest.importorskip("jgo", reason="the local HDFS fetches its jars with jgo")
    name = "permission-comes-later"
    with PLACES["webhdfs"](tmp_path / "hdfs") as place:
        verdict, observed = _judged(_patient(TINY_WEBHDFS), name, place, stock, tmp_path / "right")
        assert verdict.outcome is Outcome.VALID, f"{verdict.evidence}\n{observed.log[-2000:]}"
        broken = f"{TINY_WEBHDFS} --broken ends-when-refused"
        verdict, _ = _judged(_quick(broken), name, place, stock, tmp_path / "broken")
    assert verdict.outcome is Outcome.INVALID
    assert "the monitor ended by itself" in verdict.evidence


@pytest.mark.parametrize("name", ["http", "ftp"])
def test_a_shell_monitor_gets_its_template_filled_in_for_each_remote(
    name: str, request: pytest.FixtureRequest, stock: Stock, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    place: Place = request.getfixturevalue(name)
    settings = _patient(CURL)
    verdict, observed = _judged(settings, "happy-path", place, stock, tmp_path / "stage")
    assert verdict.outcome is Outcome.VALID, f"{verdict.evidence}\n{observed.log[-2000:]}"
    assert observed.log.count("installed a release") == 3
    if name == "ftp":
        verdict, _ = _judged(
            _quick(CURL), "password-stays-secret", place, stock, tmp_path / "secret"
        )
        assert verdict.outcome is Outcome.INVALID
