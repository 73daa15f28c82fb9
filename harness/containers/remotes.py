"""The three remotes in containers: HDFS, FTP and HTTP.

They are reached like the local ones, on 127.0.0.1, and broken by the same methods. Data lie in
``folder``, so a ``stop`` that removes the containers keeps what was published.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Optional

from ..errors import BadInput
from ..ports import free_port, free_ports
from ..remotes.base import Remote
from . import images, probes
from .portrange import free_range
from .stack import Stack

_PASSIVE_PORTS = 10


class _ContainerRemote(Remote):
    """What the three have in common: everything but how they are reached."""

    _stack: Stack

    def start(self, service: Optional[str] = None) -> None:
        if service is not None:
            self._stack.start(service)
        elif self._stack.is_up:
            # After a kill of everything: the same containers, not new ones.
            for name in self.services:
                self._stack.start(name)
        else:
            self._stack.up()

    def ready(self, deadline_s: float = 60.0) -> None:
        self._stack.wait_ready(
            self._works, f"{self.name} in containers to take and give a file", deadline_s
        )

    def stop(self, service: Optional[str] = None) -> None:
        if service is None:
            self._stack.down()
        else:
            self._stack.stop(service)

    def kill(self, service: Optional[str] = None) -> None:
        self._stack.kill(service)

    def pause(self, service: Optional[str] = None) -> None:
        self._stack.pause(service)

    def resume(self, service: Optional[str] = None) -> None:
        self._stack.resume(service)

    def disconnect(self, service: Optional[str] = None) -> None:
        self._stack.disconnect(service)

    @property
    def logs(self) -> list[Path]:
        return self._stack.logs

    @property
    def project(self) -> str:
        """The Compose project's name."""
        return self._stack.project

    @property
    def stack(self) -> Stack:
        """The Compose project."""
        return self._stack

    @property
    def producer_environment(self) -> dict[str, str]:
        return {}

    @property
    def producer_options(self) -> list[str]:
        return []

    def _works(self) -> bool:
        raise NotImplementedError

    def _kind(self, kind: Optional[str]) -> str:
        if kind is None:
            return self.monitor_kinds[0]
        if kind not in self.monitor_kinds:
            raise BadInput(f"no monitor of type {kind} reaches {self.name}: {self.monitor_kinds}")
        return kind


class ContainerHdfs(_ContainerRemote):
    """A NameNode and a DataNode; published on 127.0.0.1, WebHDFS and RPC both."""

    name = "hdfs"
    services = ("namenode", "datanode")

    def __init__(self, folder: Path, *, path: str = "/models") -> None:
        self.folder = folder.absolute()
        self.path = path
        self.rpc_port, self.http_port, datanode, datanode_http = free_ports(4)
        self._stack = Stack(
            folder,
            self.services,
            {
                "HDFS_IMAGE": images.ensure("hdfs"),
                "NAMENODE_PORT": str(self.rpc_port),
                "NAMENODE_HTTP_PORT": str(self.http_port),
                "DATANODE_PORT": str(datanode),
                "DATANODE_HTTP_PORT": str(datanode_http),
            },
            data=self.services,
        )

    def _works(self) -> bool:
        return probes.webhdfs_works(f"http://127.0.0.1:{self.http_port}")

    @property
    def webhdfs_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def url(self) -> str:
        return f"webhdfs://127.0.0.1:{self.http_port}{self.path}"

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("webhdfs",)

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        self._kind(kind)
        return ["--type", "webhdfs", "--webhdfs_url", self.webhdfs_url, "--remote_path", self.path]


class ContainerFtp(_ContainerRemote):
    """pyftpdlib with one user and a password drawn for the run."""

    name = "ftp"
    services = ("ftp",)

    def __init__(self, folder: Path, *, path: str = "/models") -> None:
        self.folder = folder.absolute()
        self.path = path
        self.port = free_port()
        self.user = "publisher"
        self.password = secrets.token_urlsafe(12)
        first, last = free_range(_PASSIVE_PORTS)
        self._stack = Stack(
            folder,
            self.services,
            {
                "FTP_IMAGE": images.ensure("ftp"),
                "FTP_PORT": str(self.port),
                "FTP_PASSIVE_PORTS": f"{first}-{last}",
                "FTP_USER": self.user,
                "FTP_PASSWORD": self.password,
            },
            data=self.services,
        )

    def _works(self) -> bool:
        return probes.ftp_works(self.port, self.user, self.password)

    @property
    def url(self) -> str:
        return f"ftp://{self.user}@127.0.0.1:{self.port}{self.path}"

    @property
    def producer_environment(self) -> dict[str, str]:
        return {"PRODUCER_FTP_PASSWORD": self.password}

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("ftp",)

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        self._kind(kind)
        return [
            *("--type", "ftp", "--ftp_host", "127.0.0.1", "--ftp_port", str(self.port)),
            *("--ftp_username", self.user, "--ftp_password", self.password),
            *("--remote_path", self.path),
        ]


class ContainerHttp(_ContainerRemote):
    """nginx over a folder of the run; the producer publishes into the folder."""

    name = "http"
    services = ("http",)

    def __init__(self, folder: Path, *, path: str = "/models") -> None:
        self.folder = folder.absolute()
        self.path = path
        self.port = free_port()
        self._stack = Stack(
            folder,
            self.services,
            {"HTTP_IMAGE": images.ensure("http"), "HTTP_PORT": str(self.port)},
            data=self.services,
        )

    @property
    def root(self) -> Path:
        """The folder that nginx serves."""
        return self.folder / "http"

    def _works(self) -> bool:
        return probes.http_works(f"http://127.0.0.1:{self.port}", self.root)

    @property
    def url(self) -> str:
        return f"file://{self.root}{self.path}"

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("general",)

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        self._kind(kind)
        host = f"http://127.0.0.1:{self.port}"
        return ["--type", "general", "--general_host", host, "--remote_path", self.path]


REMOTES: dict[str, type[Remote]] = {
    "hdfs": ContainerHdfs,
    "ftp": ContainerFtp,
    "http": ContainerHttp,
}


def remote(name: str, folder: Path) -> Remote:
    """The remote of that name in containers, over ``folder``, not started.

    Builds its image when that is not there or not up to date. Raises ``BadInput`` for an unknown
    name, a missing engine or a missing base image.
    """
    if name == "hdfs":
        return ContainerHdfs(folder)
    if name == "ftp":
        return ContainerFtp(folder)
    if name == "http":
        return ContainerHttp(folder)
    raise BadInput(f"there is no remote {name!r}: use one of {', '.join(REMOTES)}")
