"""HTTP: a server over a folder of the run. The producer publishes into the folder.

The monitor's type is upstream's "general".
"""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path

from harness.faults.gate import OUTSIDE

from ..base import NotReady, Remote

_TIMEOUT_S = 5.0


class Http(Remote):
    """Its one service is ``http``."""

    name = "http"
    services = ("http",)
    monitor_kinds = ("general",)

    def __init__(self, folder: Path, *, path: str = "/", mark: str = "") -> None:
        super().__init__(folder, path=path, mark=mark)
        self.port = 0

    @property
    @abstractmethod
    def data(self) -> Path:
        """The folder that is served."""

    def probe(self) -> None:
        import requests

        content = os.urandom(8).hex()
        file = self.data / f".harness-probe-{content}"
        file.write_text(content)
        # If root runs the harness, another user serves the file. It must be readable for both.
        file.chmod(0o644)
        try:
            with requests.Session() as session:
                # It is on this machine: a proxy of the user's could not reach it.
                session.trust_env = False
                # The monitor fetches by ranges.
                answer = session.get(
                    f"{self.host}/{file.name}", headers={"Range": "bytes=0-"}, timeout=_TIMEOUT_S
                )
        except requests.RequestException as error:
            raise NotReady(f"{type(error).__name__}: {error}") from None
        finally:
            file.unlink()
        if not answer.ok or answer.text != content or "ETag" not in answer.headers:
            raise NotReady(f"wrote {content!r}, got {answer.status_code} {answer.text[:80]!r}")

    @property
    def host(self) -> str:
        """``http://host:port``, without a path."""
        return f"http://{OUTSIDE}:{self.port}"

    @property
    def url(self) -> str:
        return f"file://{str(self.data) + self.path.rstrip('/')}"

    def address_options(self, kind: str) -> list[str]:
        return ["--general_host", self.host]
