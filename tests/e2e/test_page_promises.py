"""The promises of upstream's hot-loading page, on real parts, for each way to reach a remote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.checker.outcome import Outcome
from harness.checker.verdict import judge
from harness.load.asking import KINDS
from harness.report.bundle import history_of, pack
from harness.report.summary import verdict_line
from tests.conftest import Releases

from .conftest import IDLE_POLLS, RELEASES, Finished, first_served, start_of

# A line of the page: "2020-04-02 10:12 INFO     [monitor.py:85] _remote_path: /"
LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d) (\w+) +\[([\w.]+\.py):(\d+)\] (.*)$")
CHANGE = (
    "doneilfe(donefile) changed.",
    "pull remote model(uci_housing.tar.gz).",
    "unpack remote file(uci_housing.tar.gz).",
    "using unpacked filename: uci_housing_model.",
    "update local model(uci_housing_model).",
    "update model timestamp(fluid_time_file).",
    "sleep 1s.",
)
OPTIONS = (
    "_remote_path: ",
    "_remote_model_name: uci_housing.tar.gz",
    "_remote_donefile_name: donefile",
    "_local_model_name: uci_housing_model",
    "_local_path: .",
    "_local_timestamp_file: fluid_time_file",
    "_local_tmp_path: _tmp",
    "_interval: 1",
)


def messages(finished: Finished, level: str) -> list[str]:
    found = []
    before = ""
    for line in finished.monitor_log.splitlines():
        match = LINE.match(line)
        # A traceback at DEBUG has lines of its own.
        assert match or before == "DEBUG", f"not in the page's format: {line!r}"
        before = match[2] if match else before
        if match and match[2] == level:
            found.append(match[5])
    return found


def test_the_monitor_prints_its_options_as_the_page_shows(finished: Finished) -> None:
    info = messages(finished, "INFO")
    rest = iter(info)
    for wanted in OPTIONS:
        assert any(line.startswith(wanted) for line in rest), f"{wanted!r} in order in {info[:20]}"
    if finished.kind == "hdfs":
        hadoop = finished.options[finished.options.index("--hadoop_bin") + 1]
        assert info[0] == f"_hadoop_bin: {hadoop}"
        assert any(line.startswith("AFS prefix cmd: ") for line in info)


def test_a_change_gives_the_pages_messages_in_order(finished: Finished) -> None:
    info = messages(finished, "INFO")
    begins = [number for number, line in enumerate(info) if line == CHANGE[0]]
    assert len(begins) == RELEASES - 1, f"one change a release, found {begins} in {info}"
    for begin in begins:
        assert tuple(info[begin : begin + len(CHANGE)]) == CHANGE


def test_debug_lines_say_what_was_really_done(finished: Finished) -> None:
    debug = messages(finished, "DEBUG")
    assert debug, "--debug gives DEBUG lines"
    # Commands of the stock monitor that ours does not run must not be claimed.
    assert not [line for line in debug if "cp -r" in line or "touch " in line or "wget" in line]
    if finished.kind != "hdfs":
        assert not [line for line in debug if "hadoop fs" in line]


def test_no_password_is_in_any_log(finished: Finished) -> None:
    if "--ftp_password" not in finished.options:
        pytest.skip("this way has no password")
    password = finished.options[finished.options.index("--ftp_password") + 1]
    logs = [path for path in finished.folder.rglob("*") if path.is_file()]
    assert len(logs) > 20
    for log in logs:
        assert password.encode() not in log.read_bytes(), f"the FTP password is in {log}"


def test_a_donefile_that_does_not_change_causes_no_pull(finished: Finished) -> None:
    info = messages(finished, "INFO")
    assert info.count("pull remote model(uci_housing.tar.gz).") == finished.pulls_before_idle
    assert finished.pulls_before_idle == RELEASES - 1
    last_pull = len(info) - 1 - info[::-1].index("pull remote model(uci_housing.tar.gz).")
    assert info[last_pull:].count("sleep 1s.") >= IDLE_POLLS


def test_the_server_log_tells_each_reload_as_the_page_shows(finished: Finished) -> None:
    lines = [
        re.sub(r"^([IWEF])\d{4} [\d:.]+ +\d+ ", r"\1 ", x) for x in finished.server_log.splitlines()
    ]
    begins = [n for n, line in enumerate(lines) if "begin reload model[uci_housing_model]." in line]
    assert len(begins) == RELEASES - 1
    for begin in begins:
        tick = lines[begin - 1 :]
        tick = tick[: next(n for n, line in enumerate(tick) if "Finish reload" in line) + 1]
        assert "Begin reload framework..." in tick[0]
        text = "\n".join(tick)
        assert "switching to current_idx[" in text
        assert "Succ reload version engine: 18446744073709551615" in text
        assert "Finish reload 1 workflow(s)" in text


def test_an_idle_tick_reloads_nothing(finished: Finished) -> None:
    ticks = finished.server_log.split("Begin reload framework...")[1:]
    idle = [tick for tick in ticks if "begin reload model[" not in tick]
    assert len(idle) == len(ticks) - (RELEASES - 1)
    assert idle, "the server looks at the time file between reloads, too"
    assert not [tick for tick in idle if "switching to" in tick or "Loading clone" in tick]


@pytest.mark.parametrize("client", KINDS)
def test_each_release_predicts_what_its_manifest_promises(finished: Finished, client: str) -> None:
    for release in finished.published:
        assert first_served(finished, client, release) is not None, (
            f"{client} never saw release {release['release']} (price {release['expected']}); "
            f"it saw {sorted({tuple(p['value']) for p in finished.answers(client)})}"
        )


@pytest.mark.parametrize("client", KINDS)
def test_predictions_change_on_every_release(finished: Finished, client: str) -> None:
    seen: list[int] = []
    for answer in finished.answers(client):
        (index,) = finished.leg.releases_of(answer["value"])
        if not seen or seen[-1] != index:
            seen.append(index)
    assert seen == list(range(RELEASES))


def test_predictions_are_the_same_over_all_three_clients(finished: Finished) -> None:
    values = {
        client: {tuple(answer["value"]) for answer in finished.answers(client)} for client in KINDS
    }
    assert len(values["brpc"]) == RELEASES
    assert values["brpc"] == values["http"] == values["grpc"]


def test_the_server_never_restarts(finished: Finished) -> None:
    first, last = finished.leg.servers[0], finished.leg.servers[-1]
    assert first["identity"]
    assert first["identity"] == last["identity"]
    starts = finished.server_log.count("C++ Serving service started successfully!")
    assert starts == 1, f"the server says {starts} times that it started"


def test_every_claim_of_the_checker_holds(finished: Finished) -> None:
    assert finished.verdict.outcome is Outcome.VALID, verdict_line(finished.verdict)


def test_nothing_is_left_running(finished: Finished) -> None:
    left = [pid for pid, begun in finished.started.items() if start_of(pid) == begun]
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
    assert not left, f"still running: {commands}"
    # Monitor, three clients, launcher, shell, server, remote (two for HDFS), each with its guard.
    assert len(finished.started) >= 12


def test_the_live_directory_ends_as_the_last_release_alone(
    finished: Finished, releases: Releases
) -> None:
    live = finished.folder / "serving" / "uci_housing_model"
    ours = {path.name: path.read_bytes() for path in releases.model(RELEASES).iterdir()}
    found = {
        path.name: path.read_bytes()
        for path in live.iterdir()
        if not path.name.startswith(".") and path.name != "fluid_time_file"
    }
    assert found == ours
    assert (live / "fluid_time_file").exists()


def test_a_bundle_of_the_run_is_judged_elsewhere_as_here(
    finished: Finished, tmp_path: Path
) -> None:
    bundle = tmp_path / "run.tar.zst"
    pack(finished.folder, bundle)
    assert judge(history_of(bundle)).claims == finished.verdict.claims


def test_the_server_and_the_monitor_are_sampled(finished: Finished) -> None:
    for part in ("server", "monitor"):
        mine = [one for one in finished.leg.resources if one["part"] == part]
        assert len(mine) > 3
        assert len({one["pid"] for one in mine}) == 1
        assert all(one["rss_bytes"] > 1_000_000 and one["threads"] for one in mine)
        assert any(one.get("fds") for one in mine)
        assert mine[-1]["cpu_s"] >= mine[0]["cpu_s"] > 0
    assert mine[-1]["bytes"] > mine[0]["bytes"] > 0
