"""HTTP on this machine: a small server in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.faults.gate import INSIDE, Gate
from harness.support.ports import free_port
from harness.support.process import Process

from ..services import LocalRemote, Service
from .remote import Http


class LocalHttp(LocalRemote, Http):
    """What is published lies in ``folder/data``."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _make(self) -> dict[str, Service]:
        self.port = free_port()
        self.data.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "harness.remotes.http.server", "--folder", str(self.data)]
        argv += ["--address", INSIDE, "--port", str(self.port)]
        process = Process("http server", argv, log=self.folder / "http.log", mark=self.mark)
        return {"http": Service(process, Gate([self.port], {self.port: "http"}))}
