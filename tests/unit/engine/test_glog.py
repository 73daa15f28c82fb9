"""The log's files and lines."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest

from engine._glog import Log, stamp


def test_a_line_stands_in_the_file_of_its_severity_and_in_all_below(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.info_line("a.cpp:1", "one")
    log.warning_line("b.cpp:2", "two", 42)
    assert not (tmp_path / "log" / "serving.ERROR").exists()
    log.error_line("c.cpp:3", "three")
    texts = {
        severity: [
            line.partition("] ")[2]
            for line in (tmp_path / "log" / f"serving.{severity}").read_text().splitlines()[3:]
        ]
        for severity in ("INFO", "WARNING", "ERROR")
    }
    assert texts == {
        "INFO": ["one", "two", "three"],
        "WARNING": ["two", "three"],
        "ERROR": ["three"],
    }
    line = (tmp_path / "log" / "serving.WARNING").read_text().splitlines()[3]
    assert re.fullmatch(r"W\d{4} \d\d:\d\d:\d\d\.\d{6}    42 b\.cpp:2\] two", line), line


def test_the_symlink_points_at_the_newest_file_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "serving.INFO").symlink_to("of an older run")
    Log(folder)
    target = os.readlink(folder / "serving.INFO")
    assert re.fullmatch(rf"serving\..+\.log\.INFO\.\d{{8}}-\d{{6}}\.{os.getpid()}", target)
    assert (folder / target).is_file()


def test_stamps_carry_microseconds_and_follow_the_second() -> None:
    assert stamp(1000.5).endswith(".500000")
    assert stamp(1000.000001).endswith(".000001")
    assert stamp(1001.0)[:-7] != stamp(1000.0)[:-7]


def test_a_log_that_cannot_be_written_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log")
    shutil.rmtree(tmp_path / "log")
    gone = open(os.devnull, "w")  # noqa: SIM115
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    log.info_text("line\n")
    log.error_line("a.cpp:1", "no folder, no stderr")
    # As soon as it can be written again, it is.
    (tmp_path / "log").mkdir()
    log.error_line("a.cpp:1", "back")
    assert "back" in (tmp_path / "log" / "serving.ERROR").read_text()


def test_a_file_whose_header_cannot_be_written_is_closed(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Every write that would make a file larger fails with EFBIG, once its signal is ignored.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        for _ in range(3):
            log.error_line("a.cpp:1", "no room")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_that_a_client_made_up_makes_no_line_of_its_own(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.error_line("a.cpp:1", "no feed y\nW0101 Succ load engine, path: \u2028\x1b[2J\ud800 \u540d")
    (line,) = (tmp_path / "serving.ERROR").read_text().splitlines()[3:]
    assert line.endswith(
        "a.cpp:1] no feed y\\nW0101 Succ load engine, path: \\u2028\\x1b[2J\\ud800 \u540d"
    )
