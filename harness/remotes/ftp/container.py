"""FTP in a container: pyftpdlib, as on this machine."""

from __future__ import annotations

from harness.containers.images import Image
from harness.support.ports import free_port, free_range

from ..container import ContainerRemote
from .remote import USER, Ftp

_PASSIVE_PORTS = 10


class ContainerFtp(ContainerRemote, Ftp):
    """What is published lies in ``folder/ftp``."""

    image = Image("ftp", "bookworm")

    def _variables(self) -> dict[str, str]:
        self.port = free_port()
        first, last = free_range(_PASSIVE_PORTS)
        return {
            "FTP_PORT": str(self.port),
            "FTP_PASSIVE_PORTS": f"{first}-{last}",
            "FTP_USER": USER,
            "FTP_PASSWORD": self.password,
        }
