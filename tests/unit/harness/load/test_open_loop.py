"""The clients keep their planned times while the server stalls, so that its latency shows."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checker.history import Event, read
from harness.load.asking import KINDS
from harness.serving.choice import choose
from harness.serving.local import LocalServing
from harness.support.ports import free_port
from harness.support.process import Process
from harness.support.waits import wait_for
from tests.conftest import Releases

RATE = 40
PHASES = {"brpc": 0.1, "http": 0.4, "grpc": 0.7}
STALL_S = 1.0


@pytest.fixture
def server(tmp_path: Path, releases: Releases) -> Iterator[LocalServing]:
    """The real engine with release 1."""
    folder = tmp_path / "serving"
    shutil.copytree(releases.model(1), folder / "uci_housing_model")
    serving = LocalServing(folder, binary=choose("embedded"), port=free_port())
    serving.start()
    try:
        serving.ready()
        yield serving
    finally:
        serving.stop()


def client(kind: str, port: int, releases: Releases, folder: Path) -> Process:
    manifest = releases.published[0]["manifest"]
    feed = folder / "feed.json"
    feed.write_text(json.dumps(manifest["probe"]["feed"]))
    argv = [sys.executable, "-m", "harness.load.probe", kind, "--port", str(port)]
    argv += ["--client_config", str(releases.folder / "client"), "--feed", str(feed)]
    argv += ["--fetch", manifest["fetches"][0]["alias"], "--remote", "ftp"]
    argv += ["--history", str(folder / "history.jsonl"), "--rate", str(RATE)]
    argv += ["--phase", str(PHASES[kind])]
    return Process(f"the {kind} client", argv, log=folder / f"{kind}.log", grace_s=30)


def test_a_stall_shows_in_every_request_planned_in_it(
    server: LocalServing, releases: Releases, tmp_path: Path
) -> None:
    clients = {kind: client(kind, server.port, releases, tmp_path) for kind in KINDS}

    def asked(kind: str) -> list[Event]:
        events = read(tmp_path / "history.jsonl") if (tmp_path / "history.jsonl").exists() else ()
        return [e for e in events if e["event"] == "prediction" and e["client"] == kind]

    def all_asked_since(t: float) -> bool:
        return all(any(p["planned"] > t for p in asked(kind)) for kind in KINDS)

    def wait(t: float) -> None:
        wait_for(lambda: all_asked_since(t), "each client to ask", 60, log=tmp_path / "brpc.log")

    try:
        for process in clients.values():
            process.start()
        wait(0.0)
        server.pause()
        paused = time.monotonic()
        wait_for(lambda: time.monotonic() > paused + STALL_S, "the stall to last", STALL_S + 5)
        resumed = time.monotonic()
        server.resume()
        wait(resumed)
    finally:
        server.resume()
        for process in clients.values():
            process.stop()

    events = list(read(tmp_path / "history.jsonl"))
    for kind in KINDS:
        answers = asked(kind)
        assert not [p for p in answers if "error" in p], kind
        begin = answers[0]["planned"]
        for k, p in enumerate(answers):
            assert p["planned"] == pytest.approx(begin + k / RATE, abs=1e-6), (kind, p)
            assert p["planned"] <= p["sent"] <= p["answered"], (kind, p)
        # The first ones may have been answered before the signal.
        stalled = [p for p in answers if paused + 0.1 < p["planned"] < resumed]
        assert len(stalled) >= 0.8 * STALL_S * RATE, kind
        for p in stalled:
            assert p["answered"] >= resumed, (kind, p)
        # One connection: at most one of them was sent before the server went on.
        assert len([p for p in stalled if p["sent"] < resumed]) <= 1, kind
        (end,) = [e for e in events if e["event"] == "client_ended" and e["client"] == kind]
        assert end["asked"] == len(answers), kind
        assert end["asked"] <= end["planned"], kind
        # The requests that found their client free.
        before = [p["answered"] for p in answers[:-1]]
        free = [p for t, p in zip([0.0, *before], answers) if t <= p["planned"]]
        lags = [p["sent"] - p["planned"] for p in free]
        assert end["lag"]["samples"] == len(lags), kind
        assert end["lag"]["max_s"] == pytest.approx(max(lags)), kind
        # The median needs 20 requests, p99 needs 1,000.
        median = pytest.approx(statistics.median(lags)) if len(lags) >= 20 else None
        assert end["lag"]["p50_s"] == median, kind
        assert end["lag"]["p99_s"] is None, kind
        assert end["lag"]["cpu_s"] > 0, kind
        assert begin * RATE % 1 == pytest.approx(PHASES[kind], abs=1e-6), kind
