"""A server as local processes: the real launcher, and the binary it starts."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.support.errors import BadInput, Failed
from harness.support.ports import is_listening
from harness.support.process import Process
from harness.support.waits import wait_for

from .base import Serving
from .binary import ServingBinary


def _listening_inodes(port: int) -> set[str]:
    """Sockets that listen on a TCP port, as links in /proc/PID/fd name them (proc(5))."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def listener(port: int, pids: Sequence[int]) -> Optional[str]:
    """Return which of these processes listens on a TCP port, and when it was started."""
    listening = _listening_inodes(port)
    for pid in pids:
        with contextlib.suppress(OSError):
            open_files = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
            if open_files & listening:
                # Field 22 is the start in ticks (proc(5)): a reused process id would differ.
                stat = Path(f"/proc/{pid}/stat").read_text()
                return f"{pid}@{stat.rpartition(')')[2].split()[19]}"
    return None


class LocalServing(Serving):
    """The launcher in ``folder``, where the live directory, ``workdir_PORT`` and ``log/`` lie.

    ``model`` is the live directory's name in ``folder``; ``reload_interval_s`` is the tick, in
    whole seconds; ``gpu_ids`` are handed to the launcher (none: the CPU). ``gated`` puts a gate
    between clients and server, which ``disconnect`` needs; the main job measures without one.
    ``mark`` is in the environment of its processes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        binary: ServingBinary,
        port: int,
        model: str = "uci_housing_model",
        threads: int = 10,
        reload_interval_s: int = 1,
        gpu_ids: Optional[str] = None,
        gated: bool = False,
        mark: str = "",
    ) -> None:
        self.folder = folder
        self.model = model
        self.live_dir = folder / model
        self.log_file = folder / "log" / "serving.INFO"
        self.port = port
        self.binary = binary
        argv = [sys.executable, "-m", "harness.serving.launcher"]
        argv += ["--model", model, "--thread", str(threads), "--port", str(port)]
        argv += ["--reload_interval_s", str(reload_interval_s)]
        if gpu_ids is not None:
            argv += ["--gpu_ids", gpu_ids]
        environment = dict(os.environ, SERVING_BIN=binary.environment_value)
        # Each of them moves ProcessInfo.json to another folder, where another server may have one.
        environment.pop("SERVING_HOME", None)
        environment.pop("CONF_HOME", None)
        self._gate: Optional[Gate] = None
        if gated:
            if binary.kind != "embedded":
                raise BadInput(
                    f"no gate can stand before the {binary.kind} binary, which takes its port on "
                    "every address; use SERVING=embedded, or a server in a container"
                )
            environment["ENGINE_HOST"] = INSIDE
            self._gate = Gate([port])
        self._process = Process(
            "the serving launcher",
            argv,
            log=folder / "launcher.log",
            cwd=folder,
            env=environment,
            mark=mark,
        )

    def start(self) -> None:
        if not self.live_dir.is_dir():
            raise BadInput(
                f"{self.live_dir} is not there: the server needs a first model; "
                "install one with `python -m monitor --once`"
            )
        if is_listening(self.port):
            raise BadInput(f"port {self.port} on {OUTSIDE} is in use; name another with --port")
        self._process.start()

    def healthy(self) -> bool:
        # Not before the server listens: the launcher would find its port taken.
        if self._gate is not None and not self._gate.is_open:
            if self._listener() is None:
                return False
            self._gate.open()
        return super().healthy()

    def ready(self, deadline_s: float = 90.0) -> None:
        import requests

        wait_for(
            self.healthy,
            f"the server on port {self.port} to answer /health",
            deadline_s,
            retry_on=(requests.RequestException,),
            alive=self._process.check,
            log=self._process.log,
        )

    def stop(self) -> None:
        self._close_gate()
        self._process.stop()

    def kill(self) -> None:
        # A port without a process refuses connections; the gate must not accept in its stead.
        self._close_gate()
        self._process.kill()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()
        if self._gate is not None and self._listener() is not None:
            self._gate.open()

    def disconnect(self) -> None:
        if self._gate is None:
            raise BadInput(
                "this server was started without a gate, and nothing else can take a process off "
                "its connections; make it with gated=True"
            )
        self._gate.close()

    def _close_gate(self) -> None:
        if self._gate is not None:
            self._gate.close()

    def check(self) -> None:
        self._process.check()
        if self.identity() is None and not is_listening(self.port, timeout_s=5):
            raise Failed(f"nothing listens on the server's port {self.port} any more")

    @property
    def returncode(self) -> Optional[int]:
        """The launcher's exit code, or None while it runs. The binary's own code may differ."""
        return self._process.returncode

    def identity(self) -> Optional[str]:
        # The kernel's table of sockets may leave lines out while others come and go.
        return next(filter(None, (self._listener() for _ in range(5))), None)

    def _listener(self) -> Optional[str]:
        # Only the process that listens: the embedded engine loads each release in a child.
        return listener(self.port, sorted(self._process.pids))

    @property
    def pids(self) -> list[int]:
        return self._process.pids

    @property
    def logs(self) -> list[Path]:
        return [self._process.log, self.log_file]
