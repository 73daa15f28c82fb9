"""HDFS: a NameNode and a DataNode, with WebHDFS."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Optional

from harness.faults.gate import OUTSIDE

from .. import hdfs as hadoop
from ..base import NotReady, Remote

USER = "demo"
CLOSE_RETRY = "dfs.client.block.write.locateFollowingBlock.initial.delay.ms"
_TIMEOUT_S = 5.0


class Hdfs(Remote):
    """Its services are ``namenode`` and ``datanode``. Its superuser is ``USER``."""

    name = "hdfs"
    services = ("namenode", "datanode")
    monitor_kinds = ("hdfs", "webhdfs", "afs")

    def __init__(self, folder: Path, *, path: str = "/", mark: str = "") -> None:
        super().__init__(folder, path=path, mark=mark)
        self._client: Any = None
        self._hadoop: Optional[Path] = None
        self._rpc = self._web = 0

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
        return f"http://{OUTSIDE}:{self._web}"

    @property
    def fs_url(self) -> str:
        """The file system for Hadoop's own clients: ``hdfs://host:port``."""
        return f"hdfs://{OUTSIDE}:{self._rpc}"

    @property
    def hadoop_bin(self) -> Path:
        """A ``hadoop`` command on this machine whose configuration names this HDFS."""
        if self._hadoop is None:
            self._hadoop = hadoop.hadoop_command(
                self.folder / "bin", configuration=self._client_configuration()
            )
        return self._hadoop

    def _client_configuration(self) -> Path:
        """Write how Hadoop's own clients reach this HDFS; return the file."""
        properties = {
            "fs.defaultFS": self.fs_url,
            "dfs.replication": 1,
            # Clients must use the host name in the DataNode's settings, which is 127.0.0.1.
            "dfs.client.use.datanode.hostname": "true",
            CLOSE_RETRY: 20,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "client-site.xml"
        file.write_text(hadoop.site_xml(properties))
        return file

    def probe(self) -> None:
        """Write, read and remove a file through the NameNode and the DataNode it leads to.

        It does so as ``USER``. A DataNode keeps a connection to the NameNode for each user. The
        first call over a connection that a restarted NameNode has forgotten fails.
        """
        import requests

        content = secrets.token_hex(8).encode()
        file = f"{self.web_url}/webhdfs/v1/.harness-probe-{secrets.token_hex(3)}"
        try:
            with requests.Session() as session:
                # It is on this machine: a proxy of the user's could not reach it.
                session.trust_env = False

                def ask(method: str, url: str, operation: str = "", **more: Any) -> Any:
                    if operation:
                        more["params"] = {"user.name": USER, "op": operation}
                    answer = session.request(method, url, timeout=_TIMEOUT_S, **more)
                    answer.raise_for_status()
                    return answer

                created = ask("PUT", file, "CREATE", allow_redirects=False)
                ask("PUT", created.headers["Location"], data=content)
                seen = ask("GET", file, "OPEN").content
                ask("DELETE", file, "DELETE")
        except (requests.RequestException, KeyError) as error:
            raise NotReady(f"{type(error).__name__}: {error}") from None
        if seen != content:
            raise NotReady(f"wrote {content!r}, read {seen!r}")

    def train(self) -> None:
        """Record, once a machine, the class archive that makes ``hadoop fs`` twice as fast."""
        path = "/.harness-training"
        self.client.write(path, b"x", overwrite=True)
        hadoop.train_shell(self._client_configuration(), path)
        self.client.delete(path)

    @property
    def url(self) -> str:
        return f"webhdfs://{OUTSIDE}:{self._web}{self.path}"

    @property
    def producer_options(self) -> list[str]:
        return ["--hdfs_user", USER]

    def programs_cpu(self, kind: Optional[str] = None) -> float:
        # `hadoop fs` is a JVM for each command, which uses more than one core.
        return 0.0 if kind == "webhdfs" else 2.0

    def address_options(self, kind: str) -> list[str]:
        if kind == "webhdfs":
            return ["--webhdfs_url", self.web_url, "--hdfs_user", USER]
        options = ["--hadoop_bin", str(self.hadoop_bin)]
        # As on upstream's page: with "hdfs" the client's configuration names the file system, with
        # "afs" an option does.
        return options if kind == "hdfs" else [*options, "--fs_name", self.fs_url]
