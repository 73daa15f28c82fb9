"""HTTP in a container: nginx."""

from __future__ import annotations

from pathlib import Path

from harness.containers.images import Image
from harness.support.ports import free_port

from ..container import ContainerRemote
from .remote import Http


class ContainerHttp(ContainerRemote, Http):
    """What is published lies in ``folder/http``."""

    image = Image("http", "bookworm")

    @property
    def data(self) -> Path:
        return self.folder / "http"

    def _variables(self) -> dict[str, str]:
        self.port = free_port()
        return {"HTTP_PORT": str(self.port)}
