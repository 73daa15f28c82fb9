"""The sampler: what processes take is the sum over all that they started."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Any

from harness.checker import history as histories
from harness.checker.history import History
from harness.run.resources import Sampler
from harness.support.process import Process
from harness.support.usage import usage
from harness.support.waits import wait_for

SIZE = 50_000_000
# A parent that holds files and a child that holds memory; then the child takes CPU time and ends.
TREE = f"""
import subprocess, sys
files = [open("/dev/null") for _ in range(40)]
child = '''
import sys
held = bytearray({SIZE})
print("ready", flush=True)
sys.stdin.readline()
import time
while time.process_time() < 0.5:
    pass
'''
with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE) as process:
    sys.stdin.readline()
    process.communicate(b"go")
print("over", flush=True)
sys.stdin.readline()
"""


def samples(path: Path) -> list[dict[str, Any]]:
    return [event for event in histories.read(path) if event["event"] == "resources"]


def test_the_sum_over_a_tree_with_the_time_of_children_that_ended(tmp_path: Path) -> None:
    log = tmp_path / "tree.log"
    path = tmp_path / "history.jsonl"
    tree = Process("the tree", [sys.executable, "-c", TREE], log=log, stdin=-1)
    sent = itertools.count(1000, 1000)
    parts = {"server": lambda: tree.pids, "monitor": lambda: [os.getpid()], "none": list[int]}
    sampler = Sampler(History(path), "ftp", parts, lambda: next(sent))
    with tree:
        wait_for(lambda: "ready" in log.read_text(), "the child", 30, alive=tree.check)
        sampler.start()
        wait_for(lambda: len(samples(path)) >= 2, "the first samples", 30)
        tree.stdin.write(b"go\n")
        tree.stdin.flush()
        wait_for(lambda: "over" in log.read_text(), "the child's end", 30, alive=tree.check)
        sampler.stop()
        sampler.stop()
        root = tree.pids[0]
    server = [one for one in samples(path) if one["part"] == "server"]
    monitor = [one for one in samples(path) if one["part"] == "monitor"]
    assert {one["pid"] for one in server} == {root}
    assert server[0]["rss_bytes"] > SIZE > server[-1]["rss_bytes"]
    assert server[0]["fds"] >= 40
    assert (server[0]["threads"], server[-1]["threads"]) == (2, 1)
    assert server[-1]["cpu_s"] >= server[0]["cpu_s"] + 0.4
    assert [one["bytes"] for one in monitor] == [1000 * n for n in range(1, len(monitor) + 1)]
    assert len(monitor) == len(server)
    assert {one["part"] for one in samples(path)} == {"server", "monitor"}


def test_processes_that_are_gone_have_no_usage() -> None:
    assert usage([]) is None
    # Above the largest process id (proc(5), pid_max).
    assert usage([2**22 + 1]) is None
