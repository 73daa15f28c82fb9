"""A script of somebody's own around ``hadoop``, which prints and has an exit code of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from producer.errors import RemoteError
from producer.publish import Access, Publisher, connect, parse

SCRIPT = """#!/bin/sh
top={top}
cd /
echo '*** Welcome to the data lake ***'
echo '2020-04-02 10:11:12,345 WARN util.NativeCodeLoader: Unable to load'
printf 'loading the environment: '
shift
while case $1 in -D*) true ;; *) false ;; esac; do shift; done
{command}
echo 'took 3 s'
"""
WORKING = """
case "$1" in
-mkdir) mkdir -p "$top$3" ;;
-put) cp "$3" "$top$4" || echo "put: \\`$4': No such file or directory" >&2 ;;
-stat) echo "$2" | sed "s/%b/$(stat -c %s "$top$3")/" ;;
-get) cp "$top$2" "$3" 2>/dev/null || echo "get: \\`$2': No such file or directory" >&2 ;;
esac
"""


def behind(folder: Path, command: str) -> Publisher:
    script = folder / "hadoop"
    script.write_text(SCRIPT.format(top=folder / "hdfs", command=command))
    script.chmod(0o755)
    return connect(parse("hdfs://h:9000/models"), Access(hadoop_bin=str(script)))


def test_lines_before_and_after_are_no_content(tmp_path: Path) -> None:
    remote = behind(tmp_path, WORKING)
    remote.prepare()
    assert remote.read("donefile") is None
    (tmp_path / "local").write_bytes(b"\x00\n\xff")
    remote.put(tmp_path / "local", "donefile")
    assert remote.read("donefile") == b"\x00\n\xff"


def test_a_refusal_counts_whatever_the_script_ends_with(tmp_path: Path) -> None:
    remote = behind(tmp_path, "echo 'put: Permission denied' >&2")
    (tmp_path / "local").write_bytes(b"x")
    with pytest.raises(RemoteError, match=r"cannot upload .*: put: Permission denied"):
        remote.put(tmp_path / "local", "donefile")


@pytest.mark.parametrize("error", ["/opt/java/bin/java: No such file or directory", "killed"])
def test_a_command_that_did_not_run_is_no_absent_file_and_no_upload(
    tmp_path: Path, error: str
) -> None:
    remote = behind(tmp_path, f"echo '{error}' >&2")
    (tmp_path / "local").write_bytes(b"x")
    with pytest.raises(RemoteError, match=error):
        remote.read("donefile")
    with pytest.raises(RemoteError, match=error):
        remote.put(tmp_path / "local", "donefile")


def test_a_part_of_a_file_is_no_upload(tmp_path: Path) -> None:
    remote = behind(tmp_path, WORKING.replace('cp "$3" "$top$4"', 'printf 1 >"$top$4"'))
    remote.prepare()
    (tmp_path / "local").write_bytes(b"12345")
    with pytest.raises(RemoteError, match="1 of 5 bytes arrived"):
        remote.put(tmp_path / "local", "donefile")
