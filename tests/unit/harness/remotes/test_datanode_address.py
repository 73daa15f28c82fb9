"""What monitor and producer say when WebHDFS sends them to a DataNode that they cannot reach."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from harness.remotes.hdfs.local import LocalHdfs
from monitor.errors import RemoteError as MonitorsError
from monitor.remotes import create
from monitor.stop import Stop
from producer.errors import RemoteError as ProducersError
from tests.local_remotes import ONE_WORKER
from tests.unit.monitor.fixtures import options_for

from .reading import publisher, put


@ONE_WORKER
def test_the_datanode_s_address_and_its_settings_are_named(hdfs: LocalHdfs, tmp_path: Path) -> None:
    put(hdfs, tmp_path, "donefile", b"content")
    words = hdfs.monitor_options("webhdfs")
    given = {name[2:]: value for name, value in zip(words[::2], words[1::2])}
    target = publisher(hdfs)
    hdfs.disconnect("datanode")
    with contextlib.ExitStack() as healing:
        healing.callback(hdfs.resume, "datanode")
        with create(options_for(tmp_path / "local", **given), Stop()) as remote:  # noqa: SIM117
            with pytest.raises(MonitorsError) as seen:
                remote.look("donefile")
        with pytest.raises(ProducersError) as read:
            target.read("donefile")
        with pytest.raises(ProducersError) as written:
            target.put(tmp_path / "donefile", "other")
    for caught in (seen, read, written):
        sentence = str(caught.value)
        assert "the NameNode sent this to http://127.0.0.1:" in sentence
        assert "Connection refused" in sentence
        assert "dfs.datanode.hostname" in sentence
        assert "dfs.datanode.http.address" in sentence
        assert hdfs.web_url not in sentence.partition("sent this to ")[2]
