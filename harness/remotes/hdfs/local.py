"""HDFS on this machine: a real NameNode and a real DataNode, one JVM each, with WebHDFS."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any, Optional

from harness.faults.gate import INSIDE, OUTSIDE, Gate
from harness.support.errors import Failed
from harness.support.ports import free_ports
from harness.support.process import Process

from .. import hdfs as hadoop
from ..services import LocalRemote, NotReady, Service

USER = "demo"
_BLOCK = 1 << 20
_CLOSE_RETRY = "dfs.client.block.write.locateFollowingBlock.initial.delay.ms"
# How long a JVM may take to write its class archive when it ends (seconds; once a machine).
_ARCHIVE_S = 60.0


def client_properties(fs_url: str) -> dict[str, object]:
    """How Hadoop's own clients reach a small HDFS of ours, wherever it runs."""
    return {
        "fs.defaultFS": fs_url,
        "dfs.replication": 1,
        # A DataNode is reached by the name it was told, which is the outside's 127.0.0.1.
        "dfs.client.use.datanode.hostname": "true",
        _CLOSE_RETRY: 20,
    }


class LocalHdfs(LocalRemote):
    """``services`` are ``namenode`` and ``datanode``. Needs Java 17 or 21 and the jars
    (``harness.remotes.hdfs.fetch_jars``). ``permissions``: whether it asks who may read and write;
    its superuser is ``USER``."""

    name = "hdfs"
    services = ("namenode", "datanode")

    def __init__(self, folder: Path, *, path: str = "/", permissions: bool = False) -> None:
        super().__init__(folder, path=path)
        self._permissions = permissions
        self._client: Any = None
        self._hadoop: Optional[Path] = None
        self._rpc = self._web = 0

    def _make(self) -> dict[str, Service]:
        # Everything that may be missing is looked for before anything is started.
        hadoop.require_host_name()
        hadoop.java()
        hadoop.fetch_jars()
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        self._rpc, self._web, data, data_web, data_ipc = free_ports(5)
        configuration = self.folder / "hdfs-site.xml"
        configuration.write_text(hadoop.site_xml(self._properties(data, data_web, data_ipc)))
        self._client_configuration.write_text(hadoop.site_xml(client_properties(self.fs_url)))
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
                ),
                Gate(ports[daemon]),
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
            # What clients are sent to: the gate.
            "dfs.datanode.hostname": OUTSIDE,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.fs-limits.min-block-size": 4096,
            # Everything that waits for a cluster to settle waits for one machine here.
            "dfs.namenode.safemode.extension": 0,
            "dfs.heartbeat.interval": 1,
            "dfs.namenode.heartbeat.recheck-interval": 500,
            "dfs.namenode.redundancy.interval.seconds": "1s",
            # A writer that asks too early whether its block is known waits this long (400 ms by
            # default); WebHDFS writes are the DataNode's.
            _CLOSE_RETRY: 20,
            "ipc.client.connect.retry.interval": 200,
            "ipc.client.connect.max.retries": 50,
        }

    @property
    def _client_configuration(self) -> Path:
        return self.folder / "client-site.xml"

    @property
    def client(self) -> Any:
        """A WebHDFS client of the ``hdfs`` package, through the gates."""
        if self._client is None:
            import hdfs

            self._client = hdfs.InsecureClient(self.web_url, user=USER, timeout=(2.0, 20.0))
        return self._client

    @property
    def web_url(self) -> str:
        """WebHDFS: ``http://host:port``."""
        return f"http://{OUTSIDE}:{self._web}"

    @property
    def fs_url(self) -> str:
        """The file system for Hadoop's own clients: ``hdfs://host:port``."""
        return f"hdfs://{OUTSIDE}:{self._rpc}"

    @property
    def hadoop_bin(self) -> Path:
        """A ``hadoop`` command whose configuration names this HDFS as its file system."""
        if self._hadoop is None:
            self._hadoop = hadoop.hadoop_command(
                self.folder / "bin", configuration=self._client_configuration
            )
        return self._hadoop

    def _probe(self) -> None:
        import hdfs
        import requests
        import urllib3

        path, content = "/.harness-probe", b"ready?"
        try:
            self.client.write(path, content, overwrite=True)
            with self.client.read(path) as reader:
                seen = reader.read()
            if seen != content:
                raise NotReady(f"wrote {content!r}, read {seen!r}")
            self.client.delete(path)
        except (
            hdfs.HdfsError,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise NotReady(f"{type(error).__name__}: {error}") from None

    def ready(self, deadline_s: float = 60.0) -> None:
        super().ready(deadline_s)
        self._train()

    def _train(self) -> None:
        """Once a machine: the class archive that makes ``hadoop fs`` twice as fast."""
        path = "/.harness-training"
        self.client.write(path, b"x", overwrite=True)
        hadoop.train_shell(self._client_configuration, path)
        self.client.delete(path)

    def stop(self, service: Optional[str] = None) -> None:
        if self._parts:
            # Both at once: each writes its archive for seconds.
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
                # Ended in order it has written its archive whole, killed it may not have.
                if process.wait(_ARCHIVE_S) == 128 + signal.SIGTERM:
                    hadoop.keep_archive(process.argv)
        part.stop()

    @property
    def url(self) -> str:
        return f"webhdfs://{OUTSIDE}:{self._web}{self.path}"

    @property
    def producer_environment(self) -> dict[str, str]:
        return {}

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
        # As on the page: with "hdfs" the client's configuration knows the file system, with
        # "afs" it is named.
        return options if chosen == "hdfs" else [*options, "--fs_name", self.fs_url]
