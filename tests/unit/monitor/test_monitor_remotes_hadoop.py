"""What ``hadoop fs`` says and does that no healthy cluster shows: a stand-in for the command."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.decisions.identity import Identity
from monitor.errors import RemoteError
from monitor.live.layout import Layout
from monitor.live.ownership import Ownership
from monitor.live.recovery import When, recover
from monitor.remotes import hadoop
from monitor.remotes.base import DONEFILE_LIMIT, Remote
from monitor.stop import Stop
from monitor.watch.pull import Puller

from .fixtures import manifest_of
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
-stat) echo "serving-monitor:1:40:regular file" ;;
-cat) shift 2; for file; do case $file in
  file://*) cat "${file#file://}" ;;
  *) head -c 40 /dev/zero ;;
  esac; done ;;
-get) mkdir "$4"; GET ;;
esac
"""


@pytest.fixture
def no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow no time for the start of a JVM."""
    monkeypatch.setattr(hadoop, "_START_S", 0.0)


@pytest.mark.usefixtures("no_start")
def test_a_folder_slower_than_the_time_out_comes_while_its_files_grow(tmp_path: Path) -> None:
    # The pauses are far shorter than the time-out, and all of them together are longer.
    slowly = 'printf 12 >>"$4/params"; sleep 0.2; ' * 20
    with behind(tmp_path, FOLDER.replace("GET", slowly), timeout="3") as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        puller.pull_tree("model", 10, 10**6)
    assert (Path(puller.tree_part) / "params").read_bytes() == b"12" * 20


@pytest.mark.usefixtures("no_start")
def test_a_folder_that_stops_growing_fails_after_the_time_out(tmp_path: Path) -> None:
    stalled = 'printf 12345 >"$4/params"; exec sleep 200'
    with behind(tmp_path, FOLDER.replace("GET", stalled), timeout="1") as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="silent for longer than the time-out"):
            puller.pull_tree("model", 10, 10**6)
        assert time.monotonic() - begun < 60


def test_a_folder_is_pulled_file_by_file_where_a_rate_is_asked_for(tmp_path: Path) -> None:
    with behind(tmp_path, FOLDER.replace("GET", "exit 1"), rate_limit="100") as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 100, Stop())
        begun = time.monotonic()
        puller.pull_tree("model", 10, 10**6)
        assert time.monotonic() - begun >= 0.4
    assert (Path(puller.tree_part) / "params").read_bytes() == bytes(40)


# --- a script of somebody's own around the command --------------------------------------------

# What it prints looks like what the command prints: another folder's listing, another status, and
# at last a line without an end.
NOISY = """
cd /
echo "*** Welcome to the data lake ***"
echo "-rw-r--r--   1 hdfs supergroup        302 2026-11-23 20:15 /other/donefile"
echo "drwxr-xr-x   - me us 0 2020-04-02 10:11 model"
echo "1700000000000 302"
printf "loading the environment: "
real "$@"
CODE
echo "took 3 s"
END
"""
REAL = """
top=TOP
# As Hadoop reads a path: only after two slashes comes a host.
bare() { echo "$1" | sed -E 's|^[a-z]+:(//[^/]*)?||'; }
real() {
  case "$2" in
  -ls) at=$(bare "$4"); here="$top$at"
    if [ ! -d "$here" ]; then echo "ls: \\`$4': No such file or directory" >&2; return 1; fi
    cd "$top" && find "${at#/}" -type f -printf '-rw-r--r--   3 a user b group  %s 2020-04-02 10:11 hdfs://nn:9000/%p\\n'
    cd "$top" && find "${at#/}" -type d -printf 'drwxr-xr-x   - me us %s 2020-04-02 10:11 /%p\\n' ;;
  -stat) here="$top$(bare "$4")"
    if [ ! -e "$here" ]; then echo "stat: \\`$4': No such file or directory" >&2; return 1; fi
    kind="regular file"; [ -d "$here" ] && kind=directory
    echo "$3" | sed "s/%Y/1700000000001/; s/%b/$(stat -c %s "$here")/; s/%F/$kind/" ;;
  -get) here="$top$(bare "$3")"
    if [ ! -e "$here" ]; then echo "get: \\`$3': No such file or directory" >&2; return 1; fi
    cp -r "$here" "$4._COPYING_" && mv "$4._COPYING_" "$4" ;;
  -cat) shift 2
    for file; do case $file in
    file://*) cat "${file#file://}" ;;
    *) cat "$top$(bare "$file")" ;;
    esac; done ;;
  esac
}
"""


def around(folder: Path, *, swallows: bool = False, merges: bool = False, **options: Any) -> Remote:
    """A noisy script around a command that serves ``folder/hdfs``. ``swallows``: it ends with 0,
    whatever the command ended with; ``merges``: it prints errors with the output."""
    (folder / "hdfs").mkdir(exist_ok=True)
    noisy = NOISY.replace("CODE", "" if swallows else "code=$?")
    noisy = noisy.replace("END", "" if swallows else "exit $code")
    if merges:
        noisy = noisy.replace('real "$@"', 'real "$@" 2>&1')
    return behind(folder, REAL.replace("TOP", str(folder / "hdfs")) + noisy, **options)


@pytest.mark.parametrize("ways", [{}, {"swallows": True}, {"merges": True, "swallows": True}])
def test_what_a_script_prints_before_and_after_is_no_content(
    tmp_path: Path, ways: dict[str, bool]
) -> None:
    top = tmp_path / "hdfs"
    with around(tmp_path, **ways) as remote:
        assert remote.look("donefile") is None
        with pytest.raises(RemoteError, match="HDFS has no such file"):
            b"".join(remote.open("model.tar.gz").chunks)
        with pytest.raises(RemoteError, match="No such file"):
            remote.tree("model", 9)
        (top / "model.tar.gz").write_bytes(bytes(range(256)) * 3000)
        for content in (b"", b"done\n", b"\n", manifest_of(1, b"x"), manifest_of(2, b"y"), b""):
            (top / "donefile").write_bytes(content)
            seen = remote.look("donefile")
            assert seen is not None
            assert seen.content == content
            assert remote.look("donefile") == seen
        assert seen is not None
        assert seen.mark == "1700000000001 0"
        download = remote.open("model.tar.gz")
        assert download.size == 768_000
        assert b"".join(download.chunks) == (top / "model.tar.gz").read_bytes()
        download.close()
        (top / "donefile").unlink()
        assert remote.look("donefile") is None
    assert list((tmp_path / "local" / "_serving_monitor_tmp").iterdir()) == []


@pytest.mark.parametrize("rate", ["0", "100M"])
def test_a_folder_and_a_tarball_come_whole_through_a_script_that_prints(
    tmp_path: Path, rate: str
) -> None:
    top = tmp_path / "hdfs" / "model" / "sub"
    top.mkdir(parents=True)
    (top / "two words").write_bytes(bytes(range(256)) * 3000)
    (top.parent / "empty").touch()
    with around(tmp_path, swallows=True, rate_limit=rate) as remote:
        assert {entry.path: entry.size for entry in remote.tree("model", 9)} == {
            "sub/two words": 768_000, "empty": 0,
        }  # fmt: skip
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        puller.pull_tree("model", 10, 10**6)
        assert (Path(puller.tree_part) / "sub/two words").read_bytes() == bytes(range(256)) * 3000
        assert (Path(puller.tree_part) / "empty").read_bytes() == b""
        puller.pull_file("model/sub/two words", Identity("1-a", 1), None)
        assert Path(puller.part).read_bytes() == bytes(range(256)) * 3000
    assert list((tmp_path / "local" / "_serving_monitor_tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo banner; echo 'stat: Connection refused' >&2", "stat: Connection refused"),
        ("echo banner; /nowhere/java; true", "/nowhere/java: not found"),
        ("echo '1700000000000 302'", "ended with exit code 0"),
        (":", "ended with exit code 0"),
    ],
)
def test_an_exit_code_of_0_without_the_thing_itself_is_a_failure(
    tmp_path: Path, script: str, why: str
) -> None:
    with behind(tmp_path, script) as remote:
        for attempt in (remote.look, remote.open):
            with pytest.raises(RemoteError) as caught:
                attempt("donefile")
            assert why in caught.value.cause
            assert "no such file" not in caught.value.cause


def test_a_folder_of_which_a_part_came_is_not_taken_for_whole(tmp_path: Path) -> None:
    """As when the JVM is killed, and the script's own last command ends well."""
    script = FOLDER.replace("GET", 'printf 12345 >"$4/params"')
    with behind(tmp_path, script) as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        with pytest.raises(RemoteError, match="came only in part"):
            puller.pull_tree("model", 10, 10**6)


@pytest.mark.parametrize("rate", ["0", "100M"])
def test_a_tarball_of_which_a_part_came_is_not_taken_for_whole(tmp_path: Path, rate: str) -> None:
    script = """
    case "$2" in
    -stat) echo "serving-monitor:1:40:regular file" ;;
    -get) printf 12345 >"$4._COPYING_" ;;
    -cat) cat "${3#file://}"; printf 12345 ;;
    esac
    echo done"""
    with behind(tmp_path, script, rate_limit=rate) as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        with pytest.raises(RemoteError, match="exit code 0"):
            puller.pull_file("model.tar.gz", Identity("1-a", 1), None)


def test_what_is_hashed_is_the_file_that_stays_where_a_script_begins_anew(tmp_path: Path) -> None:
    script = f"""
    case "$2" in
    -stat) echo "serving-monitor:1:5:regular file" ;;
    -get) printf first >"$4._COPYING_"; sleep 1
      [ -e {tmp_path}/quiet ] || {{ rm "$4._COPYING_"; printf other >"$4._COPYING_"; }}
      mv "$4._COPYING_" "$4" ;;
    esac"""
    with behind(tmp_path, script) as remote:
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        with pytest.raises(RemoteError, match="began anew"):
            puller.pull_file("model.tar.gz", Identity("1-a", 1), None)
        (tmp_path / "quiet").touch()
        puller.pull_file("model.tar.gz", Identity("1-a", 1), None)
    assert Path(puller.part).read_bytes() == b"first"
    assert puller.digest == hashlib.sha256(b"first").hexdigest()


def test_a_script_may_fetch_under_another_name_first(tmp_path: Path) -> None:
    script = """
    case "$2" in
    -stat) echo "serving-monitor:1:5:regular file" ;;
    -get) printf first >"$4.tmp"; sleep 1; cp "$4.tmp" "$4"; rm "$4.tmp" ;;
    esac"""
    with behind(tmp_path, script) as remote:
        assert b"".join(remote.open("model.tar.gz").chunks) == b"first"


def test_a_folder_is_no_donefile(tmp_path: Path) -> None:
    with around(tmp_path) as remote:
        (tmp_path / "hdfs" / "donefile").mkdir()
        with pytest.raises(RemoteError, match="it is a folder"):
            remote.look("donefile")


def test_of_a_huge_file_that_is_taken_for_the_donefile_only_the_beginning_comes(
    tmp_path: Path,
) -> None:
    script = f"""
    case "$2" in
    -stat) echo "serving-monitor:1:99999999:regular file" ;;
    -get) for i in $(seq 60); do head -c 1000000 /dev/zero >>"$4"; sleep 0.1; done
      touch {tmp_path}/all-came ;;
    esac"""
    with behind(tmp_path, script) as remote:
        seen = remote.look("donefile")
    assert seen is not None
    assert seen.content == bytes(DONEFILE_LIMIT)
    assert not (tmp_path / "all-came").exists()
    assert list((tmp_path / "local" / "_serving_monitor_tmp").iterdir()) == []


def test_a_quiet_poll_starts_the_command_once(tmp_path: Path) -> None:
    with around(tmp_path) as remote:
        for content, calls in ((b"", ["-stat"]), (manifest_of(1, b"x"), ["-get"])):
            (tmp_path / "hdfs" / "donefile").write_bytes(content)
            remote.look("donefile")
            script = tmp_path / "hadoop"
            text = script.read_text()
            script.write_text(text.replace("cd /\n", f'echo "$2" >>{tmp_path}/calls\ncd /\n', 1))
            remote.look("donefile")
            script.write_text(text)
            assert (tmp_path / "calls").read_text().split() == calls
            (tmp_path / "calls").unlink()


@pytest.mark.parametrize("rate", ["0", "100M"])
@pytest.mark.parametrize(
    "address",
    [
        "hdfs://nn:8020/models",
        "hdfs://nn:8020//models/",
        "afs://nn:8020/models",
        "viewfs://clusterX/models",
        "hdfs:///models",
    ],
)
def test_the_remote_path_may_be_an_address(tmp_path: Path, address: str, rate: str) -> None:
    with around(tmp_path, remote_path=address, rate_limit=rate) as remote:
        assert remote.look("donefile") is None
        models = tmp_path / "hdfs" / "models"
        (models / "model" / "sub").mkdir(parents=True)
        for name in ("donefile", "model/a", "model/sub/b"):
            (models / name).write_bytes(b"123")
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == b"123"
        puller = Puller(remote, str(tmp_path / "tmp" / "part"), 0, Stop())
        puller.pull_tree("model", 10, 10**6)
        assert (Path(puller.tree_part) / "sub" / "b").read_bytes() == b"123"
        assert {entry.path for entry in remote.tree("model", 9)} == {"a", "sub/b"}
        with pytest.raises(RemoteError, match="HDFS has no such file"):
            remote.open("absent")


def test_the_shell_may_name_an_absent_file_without_its_host(tmp_path: Path) -> None:
    script = "echo 'cat: File does not exist: /models/donefile' >&2; exit 1"
    with behind(tmp_path, script, remote_path="hdfs://nn:8020/models") as remote:
        assert remote.look("donefile") is None


def test_a_relative_local_path_is_right_for_a_script_that_changes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with around(tmp_path, local_path=".", fs_ugi="demo,pa55word") as remote:
        assert isinstance(remote, hadoop.HadoopRemote)
        (conf,) = [word for word in remote._argv([]) if word.endswith(".xml")]
        assert Path(conf).is_absolute()
    with around(tmp_path, local_path=".") as remote:
        (tmp_path / "hdfs" / "model").mkdir()
        for name in ("donefile", "model/a"):
            (tmp_path / "hdfs" / name).write_bytes(b"x\n")
        seen = remote.look("donefile")
        assert seen is not None
        assert seen.content == b"x\n"
        assert remote.fetch_tree("model", "pulled")
    assert (tmp_path / "here" / "pulled" / "a").read_bytes() == b"x\n"


def test_what_a_killed_monitor_fetched_is_removed_at_the_next_start(tmp_path: Path) -> None:
    with around(tmp_path) as remote:
        assert isinstance(remote, hadoop.HadoopRemote)
        left = Path(remote._folder)
        options = remote._options
    left.mkdir(parents=True)
    (left / "file._COPYING_").write_bytes(b"half")
    layout = Layout(options.live)
    Ownership(layout).prepare()
    pulled = layout.pulled(layout.part(options.tmp, options.remote_model_name))
    recover(layout, options.local_timestamp_file, until=When.START, pulled=pulled)
    assert not left.exists()
