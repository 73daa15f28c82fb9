"""HTTP on this machine: a small server in a process of its own, serving a folder.

The producer publishes into that folder; the monitor's type is upstream's "general".
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Optional

import requests

from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.support.ports import free_port
from harness.support.process import Process

from ..services import LocalRemote, NotReady, Service


class LocalHttp(LocalRemote):
    """Its one service is ``http``; what is published lies in ``folder/data``."""

    name = "http"
    services = ("http",)

    def __init__(self, folder: Path, *, path: str = "/") -> None:
        super().__init__(folder, path=path)
        self.port = 0

    @property
    def data(self) -> Path:
        """The folder that is served."""
        return self.folder / "data"

    def _make(self) -> dict[str, Service]:
        self.port = free_port()
        self.data.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "harness.remotes.http.server", "--folder", str(self.data)]
        argv += ["--address", INSIDE, "--port", str(self.port)]
        process = Process("http server", argv, log=self.folder / "http.log")
        return {"http": Service(process, Gate([self.port]))}

    def _probe(self) -> None:
        content = os.urandom(8).hex()
        probe = self.data / f".harness-probe-{content}"
        probe.write_text(content)
        try:
            answer = requests.get(f"{self.host}/{probe.name}", timeout=5)
        except requests.RequestException as error:
            raise NotReady(f"{type(error).__name__}: {error}") from None
        finally:
            probe.unlink()
        if answer.status_code != requests.codes.ok or answer.text != content:
            raise NotReady(f"wrote {content!r}, got {answer.status_code} {answer.text[:80]!r}")

    @property
    def host(self) -> str:
        """``http://host:port``, without a path."""
        return f"http://{OUTSIDE}:{self.port}"

    @property
    def url(self) -> str:
        return f"file://{str(self.data) + self.path.rstrip('/')}"

    @property
    def producer_environment(self) -> dict[str, str]:
        return {}

    @property
    def producer_options(self) -> list[str]:
        return []

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("general",)

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        return ["--type", self._kind(kind), "--remote_path", self.path, "--general_host", self.host]
