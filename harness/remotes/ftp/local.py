"""FTP on this machine: pyftpdlib in a process of its own."""

from __future__ import annotations

import os
import sys

from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.support.ports import free_port, free_ports
from harness.support.process import Process

from ..services import LocalRemote, Service
from .remote import USER, Ftp

_PASSIVE_PORTS = 16


class LocalFtp(LocalRemote, Ftp):
    """What is published lies in ``folder/data``."""

    def _make(self) -> dict[str, Service]:
        self.port = free_port()
        passive = free_ports(_PASSIVE_PORTS)
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "harness.remotes.ftp.server"]
        argv += ["--folder", str(data), "--address", INSIDE, "--port", str(self.port)]
        argv += ["--masquerade", OUTSIDE, "--passive_ports", ",".join(map(str, passive))]
        process = Process(
            "ftp server",
            argv,
            log=self.folder / "ftp.log",
            env={**os.environ, "FTP_SERVER_USER": USER, "FTP_SERVER_PASSWORD": self.password},
            mark=self.mark,
        )
        speaks = {self.port: "ftp", **dict.fromkeys(passive, "ftp-data")}
        return {"ftp": Service(process, Gate([self.port, *passive], speaks))}
