"""A server that runs already: its processes are seen if they are on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.serving.running import RunningServing
from harness.support.ports import free_port
from harness.support.process import Process
from harness.support.waits import wait_for

SERVER = """
import socket, subprocess, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))), subprocess.Popen(["sleep", "60"]):
    pass
"""


def test_a_running_server_is_the_listening_process_and_its_children(
    tmp_path: Path,
) -> None:
    port, log = free_port(), tmp_path / "server.log"
    server = Process("the server", [sys.executable, "-c", SERVER, str(port)], log=log)
    running = RunningServing("127.0.0.1", port, live_dir=tmp_path, log_file=log)
    assert running.pids == []
    with server:
        wait_for(lambda: running.pids, "the server to listen", 30, alive=server.check, log=log)
        assert running.pids == server.pids
        assert len(server.pids) == 2
    assert running.pids == []
