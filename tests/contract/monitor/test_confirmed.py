"""``--server`` and ``--server_log`` against the real launcher with the embedded engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from harness.conformance.serving.server import Launched
from harness.support.ports import free_port
from harness.support.waits import wait_for
from monitor.decisions.machine import Event
from monitor.decisions.serving import Phase
from monitor.live.state import read_queue
from tests.contract.monitor.beside_a_server import (
    BESIDE_A_SERVER,
    EXPECTED,
    engine_pid,
    events,
    files,
    probe,
    publish,
)
from tests.unit.monitor.fixtures import MODEL, Site, tarball
from tests.unit.monitor.processes import Running, common
from tests.unit.monitor.stepping import poll

pytestmark = BESIDE_A_SERVER


def test_a_release_is_served_once_the_server_answers_as_it(
    supervised: Launched, scene: Any, site: Site, tmp_path: Path
) -> None:
    told = tmp_path / "events.jsonl"
    served = tmp_path / "served"
    program = f"sh -c 'echo $SERVING_MONITOR_EVENT $SERVING_MONITOR_RELEASE >> {served}'"
    one = scene(supervised, event_file=str(told), on_served=program)
    for number in (1, 2):
        publish(site, number)
        assert poll(one.watch) is Event.SWAPPED
        one.confirmer.step()
        assert one.becomes(Phase.SERVED) == ""
        assert one.figures.served_release == number
        assert events(told)[-1]["event"] == "served"
        assert events(told)[-1]["by"] == "probe"
        assert events(told)[-1]["release"] == number
        assert events(told)[-1]["after"] > 0
    lines = ["served 1", "served 2"]
    wait_for(lambda: served.read_text().splitlines() == lines, "--on_served", 30)
    # A monitor that starts again knows that already.
    again = scene(supervised, on_served=program)
    again.confirmer.step()

    def drained() -> bool:
        queue = read_queue(again.watch.layout.notices)
        return queue is not None and not queue.pending

    wait_for(drained, "no pending notice", 30)
    assert served.read_text().splitlines() == lines
    assert again.phase() == Phase.SERVED.name


def test_what_is_found_served_after_the_end_is_told_by_the_next_run(
    supervised: Launched, scene: Any, site: Site, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    program = f"sh -c 'echo $SERVING_MONITOR_RELEASE >> {served}'"
    one = scene(supervised, on_served=program)
    publish(site, 5)
    assert poll(one.watch) is Event.SWAPPED
    one.watch.end()

    def found() -> bool:
        time.sleep(one.confirmer.step())
        return bool(one.figures.last_served)

    wait_for(found, "the release served", 60)
    assert one.phase() == Phase.WAITING.name
    assert scene(supervised, on_served=program).becomes(Phase.SERVED) == ""
    wait_for(lambda: served.exists() and served.read_text() == "5\n", "--on_served", 30)


@pytest.mark.parametrize(
    ("feed", "why"),
    [
        ({"y": EXPECTED["feed"]["x"]}, "it feeds y, and the installed .* has the feeds x"),
        ({"x": [EXPECTED["feed"]["x"][0][:12]]}, r"has the shape \[1, 12\], and .* \[-1, 13\]"),
        ({"x": EXPECTED["feed"]["x"][0]}, r"has the shape \[13\]"),
        ({"x": [["a"] * 13]}, "no table of numbers"),
    ],
    ids=["name", "too few values", "no batch", "text"],
)
def test_a_wrong_probe_is_not_sent_and_the_server_lives(
    supervised: Launched, scene: Any, site: Site, feed: dict[str, Any], why: str
) -> None:
    one = scene(supervised)
    publish(site, 11, probe=probe(1, feed))
    assert poll(one.watch) is Event.SWAPPED
    pid = engine_pid(supervised)
    said = one.becomes(Phase.UNKNOWN)
    assert "its probe is not sent to --server" in said
    assert re.search(why, said), said
    assert engine_pid(supervised) == pid
    # With the log the same release is confirmed.
    one = scene(supervised, server_log=str(supervised.log_file()))
    publish(site, 12, probe=probe(2, feed))
    assert poll(one.watch) is Event.SWAPPED
    assert one.becomes(Phase.SERVED) == ""
    assert engine_pid(supervised) == pid


def test_a_release_without_a_manifest_is_confirmed_by_the_log(
    supervised: Launched, scene: Any, site: Site, tmp_path: Path
) -> None:
    told = tmp_path / "events.jsonl"
    one = scene(supervised, server_log=str(supervised.log_file()), event_file=str(told))
    site.publish(0, tarball(files(1)), donefile=b"one")
    assert poll(one.watch) is Event.SWAPPED
    assert one.becomes(Phase.SERVED) == ""
    assert events(told)[-1]["by"] == "log"
    # The launcher's log names the interval.
    assert one.confirmer._limit() >= 3.0
    assert one.confirmer._limit() < 30.0


@pytest.mark.proof
def test_a_server_that_is_gone_stuck_or_elsewhere_is_found_and_named(
    supervised: Launched, scene: Any, site: Site
) -> None:
    closed = free_port()
    one = scene(supervised, server=f"http://127.0.0.1:{closed}", served_within="0.5")
    publish(site, 31)
    assert poll(one.watch) is Event.SWAPPED
    said = one.becomes(Phase.LATE)
    assert said == f"no server answers at http://127.0.0.1:{closed}: Connection refused"
    assert one.figures.not_served == 1
    # A server that does not know the service.
    one = scene(
        supervised, server=f"http://127.0.0.1:{supervised.port}/Other/x", served_within="0.5"
    )
    assert "answers with 404" in one.becomes(Phase.LATE)
    # Stuck: it accepts connections and answers nothing.
    one = scene(supervised, served_within="0.5")
    os.kill(engine_pid(supervised), signal.SIGSTOP)
    try:
        assert "is stuck: it does not answer within 5 s" in one.becomes(Phase.LATE)
    finally:
        os.kill(engine_pid(supervised), signal.SIGCONT)
    # It comes back, and so does the confirmation.
    assert one.becomes(Phase.SERVED) == ""
    assert one.figures.not_served == 0


def test_a_time_file_that_the_server_does_not_watch_is_found(
    supervised: Launched, scene: Any, site: Site
) -> None:
    one = scene(supervised, served_within="2.5", local_timestamp_file="other_time_file")
    publish(site, 42)
    assert poll(one.watch) is Event.SWAPPED
    said = one.becomes(Phase.LATE)
    assert said == (
        "the server watches fluid_time_file, and --local_timestamp_file is other_time_file; use "
        "--local_timestamp_file=fluid_time_file"
    )
    one = scene(supervised)
    publish(site, 43)
    assert poll(one.watch) is Event.SWAPPED
    assert one.becomes(Phase.SERVED) == ""


@pytest.mark.parametrize("by", ["probe", pytest.param("log", marks=pytest.mark.proof)])
def test_a_wrong_model_name_is_found(supervised: Launched, scene: Any, site: Site, by: str) -> None:
    server_log = str(supervised.log_file()) if by == "log" else ""
    given = {"server": "", "server_log": server_log} if by == "log" else {}
    one = scene(supervised, local_model_name="other_model", served_within="2.5", **given)
    publish(site, 52)
    assert poll(one.watch) is Event.SWAPPED
    said = one.becomes(Phase.LATE)
    assert MODEL in said
    assert "check --local_path and --local_model_name" in said
    shutil.rmtree(supervised.folder / "other_model")


def test_the_process_tells_installed_and_served_apart_and_polls_on(
    supervised: Launched, site: Site, tmp_path: Path
) -> None:
    pytest.importorskip("prometheus_client")
    port, told = free_port(), tmp_path / "events.jsonl"
    words = [
        f"--general_host={site.url}", *common(tmp_path), f"--local_path={supervised.folder}",
        "--interval=0.2", f"--server=http://127.0.0.1:{supervised.port}",
        "--served_within=3", f"--event_file={told}", f"--metrics_port={port}",
    ]  # fmt: skip
    publish(site, 61)

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    one = Running(words, tmp_path / "monitor.log", {})
    try:
        one.saw("the server serves release 61")
        assert get("/readyz") == (200, "ok\n")
        assert f'serving_monitor_served_release{{model="{MODEL}"}} 61.0' in get("/metrics")[1]
        os.kill(engine_pid(supervised), signal.SIGSTOP)
        try:
            publish(site, 62)
            one.saw("release 62 is installed and not served within 3.0 s")
            code, text = get("/readyz")
            assert code == 503
            assert "the installed release is not served" in text
            assert get("/healthz")[0] == 200
            assert f'serving_monitor_not_served{{model="{MODEL}"}} 1.0' in get("/metrics")[1]
            assert f'serving_monitor_release{{model="{MODEL}"}} 62.0' in get("/metrics")[1]
            # The wait stops no later release.
            publish(site, 63)
            one.saw("update model timestamp", 3)
        finally:
            os.kill(engine_pid(supervised), signal.SIGCONT)
        one.saw("the server serves release 63")
        wait_for(lambda: get("/readyz")[0] == 200, "/readyz to answer 200", 20)
        late = [e["release"] for e in events(told) if e["event"] == "not_served"]
        served = [e["release"] for e in events(told) if e["event"] == "served"]
        assert late[0] == 62
        assert served == [61, 63]
    finally:
        one.process.terminate()
        one.end()
        one.process.communicate()
