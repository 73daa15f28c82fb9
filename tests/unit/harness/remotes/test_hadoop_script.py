"""A script of somebody's own around the real ``hadoop``: monitor and producer read past it."""

from __future__ import annotations

import random
from pathlib import Path
from shlex import quote

import pytest

from harness.remotes.hdfs.local import LocalHdfs
from monitor.decisions.identity import Identity
from monitor.errors import RemoteError as MonitorsError
from monitor.remotes import create
from monitor.stop import Stop
from monitor.watch.pull import Puller
from producer.errors import RemoteError
from producer.publish import Access, connect, parse
from tests.local_remotes import ONE_WORKER
from tests.unit.monitor.fixtures import TARBALL, manifest_of, options_for

BIG = random.Random(5).randbytes(3_000_000)


def script_around(hadoop: Path, folder: Path) -> Path:
    """It changes the folder, prints before and after, and ends with its own exit code: 0."""
    script = folder / "hadoop"
    script.write_text(
        f"""#!/bin/sh
cd /
echo '*** Welcome to the data lake ***'
echo '-rw-r--r--   1 hdfs supergroup        302 2026-11-23 20:15 /other/donefile'
echo '2026-11-23 20:15:01,123 WARN util.NativeCodeLoader: Unable to load native-hadoop library'
echo '1700000000000 302'
printf 'loading the environment: '
{quote(str(hadoop))} "$@"
date
echo 'took 3 s'
"""
    )
    script.chmod(0o755)
    return script


@ONE_WORKER
def test_the_producer_publishes_and_reads_through_a_script_that_prints(
    hdfs: LocalHdfs, tmp_path: Path
) -> None:
    access = Access(hadoop_bin=str(script_around(hdfs.hadoop_bin, tmp_path)), hdfs_user="demo")
    target = connect(parse(hdfs.fs_url + hdfs.path), access)
    target.prepare()
    assert target.read("donefile") is None
    (tmp_path / "donefile").write_bytes(manifest_of(1, BIG))
    target.put(tmp_path / "donefile", "donefile")
    assert target.read("donefile") == manifest_of(1, BIG)
    with pytest.raises(RemoteError, match="put: "):
        target.put(tmp_path / "donefile", "no-such-folder/donefile")


@ONE_WORKER
def test_the_monitor_reads_and_pulls_through_a_script_that_prints(
    hdfs: LocalHdfs, tmp_path: Path
) -> None:
    words = hdfs.monitor_options("hdfs")
    given = {name[2:]: value for name, value in zip(words[::2], words[1::2])}
    given["hadoop_bin"] = str(script_around(hdfs.hadoop_bin, tmp_path))
    put, base = hdfs.client.write, hdfs.path
    part = str(tmp_path / "tmp" / "part")
    with create(options_for(tmp_path / "local", **given), Stop()) as remote:
        assert remote.look("donefile") is None
        with pytest.raises(MonitorsError, match="HDFS has no such file"):
            remote.open(TARBALL)
        put(f"{base}/{TARBALL}", data=BIG)
        put(f"{base}/m/sub/two words", data=b"123")
        for content in (b"", manifest_of(1, BIG)):
            put(f"{base}/donefile", data=content, overwrite=True)
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == content
        puller = Puller(remote, part, 0, Stop())
        puller.pull_file(TARBALL, Identity("1-a", 1), None)
        assert Path(part).read_bytes() == BIG
        puller.pull_tree("m", 9, 100)
        assert (Path(puller.tree_part) / "sub" / "two words").read_bytes() == b"123"
    slow = options_for(tmp_path / "slow", **given, rate_limit="20M")
    with create(slow, Stop()) as remote:
        assert b"".join(remote.open(TARBALL).chunks) == BIG
