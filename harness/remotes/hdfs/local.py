"""HDFS on this machine: a real NameNode and a real DataNode, one JVM each."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Optional

from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.support.errors import Failed
from harness.support.ports import free_ports
from harness.support.process import Process

from .. import hdfs as hadoop
from ..base import Check, Say
from ..services import LocalRemote, Service
from .remote import CLOSE_RETRY, USER, Hdfs

_BLOCK = 1 << 20
# How long a JVM may take to write its class archive when it ends (seconds; once a machine).
_ARCHIVE_S = 60.0


class LocalHdfs(LocalRemote, Hdfs):
    """Needs Java 17 or 21 and the jars (``harness.remotes.hdfs.fetch_jars``).

    ``permissions``: whether HDFS checks who may read and write.
    """

    def __init__(
        self, folder: Path, *, path: str = "/", mark: str = "", permissions: bool = False
    ) -> None:
        super().__init__(folder, path=path, mark=mark)
        self._permissions = permissions

    @classmethod
    def fetch(cls, say: Say) -> None:
        missing = hadoop.missing_jars()
        if missing:
            say(f"fetching {len(missing)} Hadoop jars into {hadoop.repository()}")
        hadoop.fetch_jars()

    @classmethod
    def require(cls) -> None:
        hadoop.require_host_name()
        hadoop.java()

    @classmethod
    def checks(cls) -> tuple[tuple[str, Check], ...]:
        return (
            ("Java for HDFS", lambda: str(hadoop.java())),
            ("Hadoop jars", hadoop.where_jars_are),
        )

    def _make(self) -> dict[str, Service]:
        # Everything that may be missing is looked for before anything is started.
        self.require()
        hadoop.fetch_jars()
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        self._rpc, self._web, data, data_web, data_ipc = free_ports(5)
        configuration = self.folder / "hdfs-site.xml"
        configuration.write_text(hadoop.site_xml(self._properties(data, data_web, data_ipc)))
        name_folder = self.folder / "name"
        if not name_folder.is_dir():
            hadoop.formatted_name_folder(name_folder, configuration)
        ports = {"namenode": [self._rpc, self._web], "datanode": [data, data_web, data_ipc]}
        return {
            daemon: Service(
                Process(
                    daemon,
                    hadoop.daemon_argv(daemon, configuration, scratch),
                    log=self.folder / f"{daemon}.log",
                    cwd=self.folder,
                    env={**hadoop.java_environment(), "HADOOP_USER_NAME": USER},
                    mark=self.mark,
                ),
                Gate(ports[daemon], dict.fromkeys((self._web, data_web), "webhdfs")),
            )
            for daemon in self.services
        }

    def _properties(self, data: int, data_web: int, data_ipc: int) -> dict[str, object]:
        return {
            "fs.defaultFS": f"hdfs://{INSIDE}:{self._rpc}",
            "hadoop.tmp.dir": self.folder / "tmp",
            "hadoop.http.staticuser.user": USER,
            # The NameNode reads a URI; the DataNode encodes what it is given once more.
            "dfs.namenode.name.dir": (self.folder / "name").as_uri(),
            "dfs.datanode.data.dir": f"file://{self.folder / 'data'}",
            "dfs.replication": 1,
            "dfs.blocksize": _BLOCK,
            "dfs.permissions.enabled": "true" if self._permissions else "false",
            "dfs.namenode.rpc-address": f"{INSIDE}:{self._rpc}",
            "dfs.namenode.http-address": f"{INSIDE}:{self._web}",
            "dfs.datanode.address": f"{INSIDE}:{data}",
            "dfs.datanode.http.address": f"{INSIDE}:{data_web}",
            "dfs.datanode.ipc.address": f"{INSIDE}:{data_ipc}",
            # The NameNode sends clients to this address, which is the gate's.
            "dfs.datanode.hostname": OUTSIDE,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.fs-limits.min-block-size": 4096,
            # A cluster of one machine needs no time to settle.
            "dfs.namenode.safemode.extension": 0,
            "dfs.heartbeat.interval": 1,
            "dfs.namenode.heartbeat.recheck-interval": 500,
            "dfs.namenode.redundancy.interval.seconds": "1s",
            # A writer waits this long (400 ms by default) before it asks again whether the
            # NameNode knows its block. With WebHDFS the DataNode is the writer.
            CLOSE_RETRY: 20,
            "ipc.client.connect.retry.interval": 200,
            "ipc.client.connect.max.retries": 50,
        }

    def ready(self, deadline_s: float = 60.0) -> None:
        super().ready(deadline_s)
        self.train()

    def stop(self, service: Optional[str] = None) -> None:
        if self._parts:
            # Signal both first, because each writes its archive for seconds.
            for _, part in self._chosen(service):
                if part.process.running and hadoop.records_archive(part.process.argv):
                    part.process.resume()
                    part.process.signal(signal.SIGTERM)
        super().stop(service)

    def _stop_service(self, name: str, part: Service) -> None:
        process = part.process
        if hadoop.records_archive(process.argv) and (process.running or process.returncode):
            # Not through the guard, whose patience is shorter than an archive takes.
            with contextlib.suppress(Failed):
                # A daemon that SIGTERM ended has written the whole archive; a killed one may not.
                if process.wait(_ARCHIVE_S) == 128 + signal.SIGTERM:
                    hadoop.keep_archive(process.argv)
        part.stop()
