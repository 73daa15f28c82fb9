"""What ``hadoop fs`` says and does that no healthy cluster shows: a stand-in for the command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from monitor._pull import Puller
from monitor._remotes import hadoop
from monitor._remotes.base import Remote, Stop
from monitor.errors import RemoteError

from .kinds import make

pytestmark = pytest.mark.usefixtures("quiet")


def command(folder: Path, script: str) -> Path:
    """A ``hadoop`` that is ``script``, in which $2 is the operation."""
    path = folder / "hadoop"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def behind(folder: Path, script: str, **options: Any) -> Remote:
    given = {"type": "hdfs", "hadoop_bin": str(command(folder, script)), **options}
    return make(folder / "local", **given)


def complaining(folder: Path, message: str, code: int = 1) -> Remote:
    (folder / "message").write_text(message + "\n")
    return behind(folder, f"cat {folder}/message >&2; exit {code}")


@pytest.mark.parametrize(
    "message",
    [
        "stat: `/donefile': No such file or directory",
        "stat: cannot stat `/donefile': No such file or directory",
        "stat: `hdfs://nn:9000/donefile': No such file or directory",
        "cat: File does not exist: /donefile",
        "cat: File does not exist: /donefile (inode 16392) [Lease. Holder: x]",
        "2020-04-02 10:11:12,000 WARN a: b\nstat: `/donefile': No such file or directory\n\tat x",
    ],
)
def test_an_absent_file_is_what_the_shell_s_own_command_says_of_it(
    tmp_path: Path, message: str
) -> None:
    with complaining(tmp_path, message) as remote:
        assert remote.look("donefile") is None
        with pytest.raises(RemoteError, match="HDFS has no such file"):
            remote.open("donefile")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("ERROR: JAVA_HOME /x does not exist.", 1),
        ("/opt/hadoop/bin/hadoop: line 7: /opt/java/bin/java: No such file or directory", 127),
        ("cat: /etc/hadoop/donefile: No such file or directory", 1),
        ("cat: /donefile.rack: No such file or directory", 1),
        ("stat: failed to log in: /etc/krb5.keytab does not exist", 1),
    ],
)
def test_a_broken_installation_is_no_absent_file(tmp_path: Path, message: str, code: int) -> None:
    with complaining(tmp_path, message, code) as remote:
        for attempt in (remote.look, remote.open):
            with pytest.raises(RemoteError) as caught:
                attempt("donefile")
            assert caught.value.cause == message


FOLDER = """
case "$2" in
-ls) echo "-rw-r--r-- 1 me us 40 2020-04-02 10:11 /model/params" ;;
-stat) echo "1 40" ;;
-cat) head -c 40 /dev/zero ;;
-get) mkdir "$4"; GET ;;
esac
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options, and no time for a JVM to start in."""
    monkeypatch.setattr(hadoop, "_START_S", 0.0)
    return {"timeout": "1"}


def test_a_folder_that_takes_longer_than_the_time_out_comes_while_its_files_grow(
    tmp_path: Path, impatient: dict[str, str]
) -> None:
    slowly = 'for i in 1 2 3 4 5 6 7 8; do printf 12345 >>"$4/params"; sleep 0.4; done'
    with behind(tmp_path, FOLDER.replace("GET", slowly), **impatient) as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        puller.pull_tree("model", 10, 10**6)
    assert (Path(puller.tree_part) / "params").read_bytes() == b"12345" * 8


def test_a_folder_that_stops_growing_fails_after_the_time_out(
    tmp_path: Path, impatient: dict[str, str]
) -> None:
    stalled = 'printf 12345 >"$4/params"; exec sleep 60'
    with behind(tmp_path, FOLDER.replace("GET", stalled), **impatient) as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="silent for longer than the time-out"):
            puller.pull_tree("model", 10, 10**6)
        assert time.monotonic() - begun < 20


def test_a_folder_is_pulled_file_by_file_where_a_rate_is_asked_for(tmp_path: Path) -> None:
    with behind(tmp_path, FOLDER.replace("GET", "exit 1"), rate_limit="100") as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 100, Stop())
        begun = time.monotonic()
        puller.pull_tree("model", 10, 10**6)
        assert time.monotonic() - begun >= 0.4
    assert (Path(puller.tree_part) / "params").read_bytes() == bytes(40)
