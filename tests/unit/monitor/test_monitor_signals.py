"""SIGTERM and SIGINT: the end within a second, wherever the monitor is, and nothing left."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from harness.waits import wait_for

from .fixtures import MODEL, Site
from .processes import Start, general


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


@pytest.mark.parametrize(
    ("signum", "where"),
    [
        (signal.SIGINT, "asleep"),
        (signal.SIGTERM, "asleep"),
        (signal.SIGTERM, "in a silent transfer"),
        (signal.SIGTERM, "in a check"),
    ],
)
def test_a_signal_ends_it_within_a_second_and_leaves_nothing(
    start: Start, site: Site, tmp_path: Path, a_second: float, *, signum: int, where: str
) -> None:
    extra = []
    site.publish(1, size=300_000)
    if where == "in a silent transfer":
        site.stall_after = 100_000
    if where == "in a check":
        extra = ["--check_command", "sh -c 'echo here >> $0.here; sleep 60'"]
    one = start(*general(site, tmp_path), *extra)
    local = tmp_path / "local"
    if where == "asleep":
        one.saw("sleep 10s.")
    elif where == "in a check":
        wait_for(lambda: list(local.glob(".*.here")), "the check to run", 20)
        for path in local.glob(".*.here"):
            path.unlink()
    else:
        tmp = local / "_serving_monitor_tmp"
        wait_for(lambda: list(tmp.glob("*.part")), "the transfer to begin", 20)
    begun = time.monotonic()
    one.process.send_signal(signum)
    assert one.end() == 0
    assert time.monotonic() - begun < a_second
    assert list((local / "_serving_monitor_tmp").iterdir()) == []
    assert {p.name for p in local.iterdir()} <= {
        f".{MODEL}.monitor", "_serving_monitor_tmp", MODEL,
    }  # fmt: skip
    assert "Traceback" not in one.text
