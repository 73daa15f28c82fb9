"""The three remotes in containers: HDFS, FTP and HTTP.

They are reached like the local ones, on 127.0.0.1, and broken by the same methods. Data lie in
``folder``, so a ``stop`` that removes the containers keeps what was published.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from harness.remotes import REMOTES
from harness.remotes import hdfs as hadoop
from harness.remotes.base import Remote
from harness.remotes.hdfs.local import client_properties
from harness.support.errors import BadInput
from harness.support.ports import free_port, free_ports, free_range

from . import images, probes
from .stack import Stack

USER = "demo"
_PASSIVE_PORTS = 10

Say = Callable[[str], None]


class ContainerRemote(Remote):
    """What the three have in common: everything but how they are reached.

    ``folder`` takes data and logs. ``path`` is where releases go, as the remote counts paths; it
    may be set anew between uses, so that one HDFS serves many tests.
    """

    def __init__(self, folder: Path, *, path: str, variables: dict[str, str]) -> None:
        self.folder = folder.absolute()
        self.path = path
        self._stack = Stack(folder, self.services, variables, data=self.services)

    def start(self, service: Optional[str] = None) -> None:
        if service is not None:
            self._stack.start(service)
        elif self._stack.is_up:
            # After a kill of everything: the same containers, not new ones.
            for name in self.services:
                if self._stack.identity(name) is None:
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

    def check(self) -> None:
        if self._stack.is_up:
            self._stack.check()

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
        chosen = kind or self.monitor_kinds[0]
        if chosen not in self.monitor_kinds:
            raise BadInput(
                f"no monitor of type {chosen!r} reaches {self.name}: one of "
                f"{', '.join(self.monitor_kinds)}"
            )
        return chosen


class ContainerHdfs(ContainerRemote):
    """A NameNode and a DataNode; WebHDFS and RPC both published on 127.0.0.1."""

    name = "hdfs"
    services = ("namenode", "datanode")

    def __init__(self, folder: Path, *, path: str = "/", say: Say = print) -> None:
        # First: a build takes minutes, in which a port drawn before could become another's.
        image = images.ensure("hdfs", say)
        self._rpc, self._web, data, data_web = free_ports(4)
        self._client: Any = None
        self._hadoop: Optional[Path] = None
        variables = {
            "HDFS_IMAGE": image,
            "NAMENODE_PORT": str(self._rpc),
            "NAMENODE_HTTP_PORT": str(self._web),
            "DATANODE_PORT": str(data),
            "DATANODE_HTTP_PORT": str(data_web),
        }
        super().__init__(folder, path=path, variables=variables)

    def start(self, service: Optional[str] = None) -> None:
        """Starts it; of the whole remote returns once the NameNode listens.

        The engine accepts connections on a published port from the start and drops them until
        something listens inside. A client would take that for a broken NameNode rather than for
        one that is not up yet.
        """
        super().start(service)
        if service is None:
            self._stack.wait_ready(
                lambda: probes.namenode_answers(self.web_url), "the NameNode to listen", 180
            )

    def _works(self) -> bool:
        return probes.webhdfs_works(self.web_url, USER)

    def ready(self, deadline_s: float = 60.0) -> None:
        super().ready(deadline_s)
        if self._hadoop is not None:
            self._train()

    def _train(self) -> None:
        """Once a machine: the class archive that makes ``hadoop fs`` twice as fast."""
        path = "/.harness-training"
        self.client.write(path, b"x", overwrite=True)
        hadoop.train_shell(self._client_configuration, path)
        self.client.delete(path)

    @property
    def client(self) -> Any:
        """A WebHDFS client of the ``hdfs`` package."""
        if self._client is None:
            import hdfs

            self._client = hdfs.InsecureClient(self.web_url, user=USER, timeout=(2.0, 20.0))
        return self._client

    @property
    def web_url(self) -> str:
        """WebHDFS: ``http://host:port``."""
        return f"http://127.0.0.1:{self._web}"

    @property
    def fs_url(self) -> str:
        """The file system for Hadoop's own clients: ``hdfs://host:port``."""
        return f"hdfs://127.0.0.1:{self._rpc}"

    @property
    def _client_configuration(self) -> Path:
        return self.folder / "client-site.xml"

    @property
    def hadoop_bin(self) -> Path:
        """A ``hadoop`` command on this machine whose configuration names this HDFS."""
        if self._hadoop is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._client_configuration.write_text(hadoop.site_xml(client_properties(self.fs_url)))
            self._hadoop = hadoop.hadoop_command(
                self.folder / "bin", configuration=self._client_configuration
            )
        return self._hadoop

    @property
    def url(self) -> str:
        return f"webhdfs://127.0.0.1:{self._web}{self.path}"

    @property
    def producer_options(self) -> list[str]:
        return ["--hdfs_user", USER]

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("hdfs", "webhdfs", "afs")

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        chosen = self._kind(kind)
        options = ["--type", chosen, "--remote_path", self.path]
        if chosen == "webhdfs":
            return [*options, "--webhdfs_url", self.web_url, "--hdfs_user", USER]
        options += ["--hadoop_bin", str(self.hadoop_bin)]
        return options if chosen == "hdfs" else [*options, "--fs_name", self.fs_url]


class ContainerFtp(ContainerRemote):
    """pyftpdlib with one user and a password drawn for the run."""

    name = "ftp"
    services = ("ftp",)

    def __init__(self, folder: Path, *, path: str = "/", say: Say = print) -> None:
        image = images.ensure("ftp", say)
        self.port = free_port()
        self.password = secrets.token_hex(12)
        first, last = free_range(_PASSIVE_PORTS)
        variables = {
            "FTP_IMAGE": image,
            "FTP_PORT": str(self.port),
            "FTP_PASSIVE_PORTS": f"{first}-{last}",
            "FTP_USER": USER,
            "FTP_PASSWORD": self.password,
        }
        super().__init__(folder, path=path, variables=variables)

    def _works(self) -> bool:
        return probes.ftp_works(self.port, USER, self.password)

    @property
    def url(self) -> str:
        return f"ftp://{USER}@127.0.0.1:{self.port}{self.path}"

    @property
    def producer_environment(self) -> dict[str, str]:
        return {"PRODUCER_FTP_PASSWORD": self.password}

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("ftp",)

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        options = ["--type", self._kind(kind), "--remote_path", self.path]
        options += ["--ftp_host", "127.0.0.1", "--ftp_port", str(self.port)]
        return [*options, "--ftp_username", USER, "--ftp_password", self.password]


class ContainerHttp(ContainerRemote):
    """nginx over a folder of the run; the producer publishes into the folder."""

    name = "http"
    services = ("http",)

    def __init__(self, folder: Path, *, path: str = "/", say: Say = print) -> None:
        image = images.ensure("http", say)
        self.port = free_port()
        variables = {"HTTP_IMAGE": image, "HTTP_PORT": str(self.port)}
        super().__init__(folder, path=path, variables=variables)

    @property
    def data(self) -> Path:
        """The folder that is served."""
        return self.folder / "http"

    @property
    def host(self) -> str:
        """``http://host:port``, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def _works(self) -> bool:
        return probes.http_works(self.host, self.data)

    @property
    def url(self) -> str:
        return f"file://{str(self.data) + self.path.rstrip('/')}"

    @property
    def monitor_kinds(self) -> tuple[str, ...]:
        return ("general",)

    def monitor_options(self, kind: Optional[str] = None) -> list[str]:
        return ["--type", self._kind(kind), "--remote_path", self.path, "--general_host", self.host]


def remote(name: str, folder: Path, say: Say = print) -> Remote:
    """The remote of that name in containers, over ``folder``, not started.

    Builds its image when that is not there or not up to date, and tells ``say`` so. Raises
    ``BadInput`` for an unknown name, a missing engine or a missing base image.
    """
    if name == "hdfs":
        return ContainerHdfs(folder, say=say)
    if name == "ftp":
        return ContainerFtp(folder, say=say)
    if name == "http":
        return ContainerHttp(folder, say=say)
    raise BadInput(f"there is no remote {name!r}: one of {', '.join(REMOTES)}")
