"""FTP: a server with one user, and a password drawn for the run."""

from __future__ import annotations

import ftplib
import io
import secrets
from pathlib import Path

from harness.faults.gate import OUTSIDE

from ..base import NotReady, Remote

USER = "demo"
_TIMEOUT_S = 5.0


class Ftp(Remote):
    """Its one service is ``ftp``. Data connections are passive."""

    name = "ftp"
    services = ("ftp",)
    monitor_kinds = ("ftp",)

    def __init__(self, folder: Path, *, path: str = "/", mark: str = "") -> None:
        super().__init__(folder, path=path, mark=mark)
        self.port = 0
        self.password = secrets.token_hex(12)

    def probe(self) -> None:
        name, content = ".harness-probe", b"ready?"
        seen = io.BytesIO()
        ftp = ftplib.FTP(timeout=_TIMEOUT_S)
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

    def address_options(self, kind: str) -> list[str]:
        options = ["--ftp_host", OUTSIDE, "--ftp_port", str(self.port)]
        return [*options, "--ftp_username", USER, "--ftp_password", self.password]
