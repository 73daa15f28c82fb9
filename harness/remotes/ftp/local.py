"""FTP on this machine: pyftpdlib in a process of its own, with a user and a password."""

from __future__ import annotations

import ftplib
import io
import os
import secrets
import sys
from pathlib import Path
from typing import Optional

from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.support.ports import free_port, free_ports
from harness.support.process import Process

from ..services import LocalRemote, NotReady, Service

USER = "demo"
_PASSIVE_PORTS = 16


class LocalFtp(LocalRemote):
    """Its one service is ``ftp``; what is published lies in ``folder/data``."""

    name = "ftp"
    services = ("ftp",)

    def __init__(self, folder: Path, *, path: str = "/") -> None:
        super().__init__(folder, path=path)
        self.port = 0
        self.password = secrets.token_hex(12)

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
        )
        return {"ftp": Service(process, Gate([self.port, *passive]))}

    def _probe(self) -> None:
        name, content = ".harness-probe", b"ready?"
        seen = io.BytesIO()
        ftp = ftplib.FTP(timeout=5)
        try:
            ftp.connect(OUTSIDE, self.port)
            ftp.login(USER, self.password)
            ftp.storbinary(f"STOR {name}", io.BytesIO(content))
            ftp.retrbinary(f"RETR {name}", seen.write)
            ftp.delete(name)
            ftp.quit()
        except ftplib.all_errors as error:
            raise NotReady(f"{type(error).__name__}: {error}") from None
        finally:
            ftp.close()
        if seen.getvalue() != content:
            raise NotReady(f"wrote {content!r}, read {seen.getvalue()!r}")

    @property
    def url(self) -> str:
        return f"ftp://{USER}@{OUTSIDE}:{self.port}{self.path}"

    @property
    def producer_environment(self) -> dict[str, str]:
        return {"PRODUCER_FTP_PASSWORD": self.password}

    @property
    def producer_options(self) -> list[str]:
        return []

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("ftp",)

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        options = ["--type", self._kind(kind), "--remote_path", self.path]
        options += ["--ftp_host", OUTSIDE, "--ftp_port", str(self.port)]
        return [*options, "--ftp_username", USER, "--ftp_password", self.password]
