"""HDFS in containers. WebHDFS and RPC are both published on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Optional

from harness.containers.images import Image
from harness.support.ports import free_ports

from ..container import ContainerRemote
from ._jars import JARS, fetch_jars
from .remote import Hdfs

_CORE_SITE = "<configuration/>\n"


def _recipe() -> list[str]:
    """Return what stands for ``_stage`` in the image's hash: each jar's name and digest."""
    return [*(f"{jar.coordinates} {jar.sha256}" for jar in JARS), _CORE_SITE]


def _stage(context: Path) -> None:
    """Put Hadoop's jars, fetched and checked on the host, into ``context/jars``."""
    target = context / "jars"
    target.mkdir()
    for jar in fetch_jars():
        _link_or_copy(jar, target / jar.name)
    # What Hadoop wants on its class path beside jars; a folder there would forbid class archives.
    with zipfile.ZipFile(target / "configuration.jar", "w") as archive:
        archive.writestr("core-site.xml", _CORE_SITE)
        archive.write(context / "log4j.properties", "log4j.properties")
    lines = [f"{jar.coordinates} sha256:{jar.sha256}\n" for jar in JARS]
    (context / "jars.txt").write_text("".join(lines))


def _link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link where the filesystem allows it: that spares a copy of 90 MB."""
    try:
        os.link(source, target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            # A full disk is the target's, and copyfile names the source.
            raise OSError(error.errno, error.strerror, str(target)) from error


class ContainerHdfs(ContainerRemote, Hdfs):
    """A container for each of the two daemons."""

    image = Image("hdfs", "bookworm", stage=_stage, recipe=_recipe)

    def _variables(self) -> dict[str, str]:
        self._rpc, self._web, data, data_web = free_ports(4)
        return {
            "NAMENODE_PORT": str(self._rpc),
            "NAMENODE_HTTP_PORT": str(self._web),
            "DATANODE_PORT": str(data),
            "DATANODE_HTTP_PORT": str(data_web),
        }

    def start(self, service: Optional[str] = None) -> None:
        """Start the remote or one service. After the whole remote, wait for the NameNode's port.

        The engine accepts connections on a published port from the start and drops them until
        something listens inside. A client would take that for a broken NameNode rather than for
        one that is not up yet.
        """
        super().start(service)
        if service is None:
            self._stack.wait_ready(self._namenode_answers, "the NameNode to listen", 180)

    def _namenode_answers(self) -> bool:
        """Return whether the NameNode lists its root (in safe mode it does)."""
        import requests

        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{self.web_url}/webhdfs/v1/?op=LISTSTATUS", timeout=5)
            return answer.ok

    def ready(self, deadline_s: float = 60.0) -> None:
        super().ready(deadline_s)
        if self._hadoop is not None:
            self.train()
