"""Which process the launcher's shell has started, whatever kind of shell it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.conformance.serving.server import started_by_shell
from harness.support.errors import Failed
from harness.support.process import Process
from harness.support.waits import wait_for

SLEEP = "sleep 300"


@pytest.mark.parametrize("words", ["sleep 300; true", "exec sleep 300"], ids=["forks", "becomes"])
def test_the_command_behind_a_shell_is_found(tmp_path: Path, words: str) -> None:
    launcher = f"import subprocess; subprocess.run(['sh', '-c', {words!r}])"
    with Process("launcher", [sys.executable, "-c", launcher], log=tmp_path / "log") as process:
        pid = wait_for(
            lambda: started_by_shell(process.pids[0]),
            "the command",
            20,
            retry_on=(Failed, IndexError),
        )
        wait_for(
            lambda: Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:2] == SLEEP.split(),
            f"process {pid} to be {SLEEP}",
            10,
        )


def test_a_launcher_that_has_started_nothing_says_so() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as launcher:
        with pytest.raises(Failed, match="has started no command"):
            started_by_shell(launcher.pid)
        launcher.communicate(b"\n")
