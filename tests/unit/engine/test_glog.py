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

from harness.engine._glog import ERROR, INFO, WARNING, Log, Stamps, file_name


def test_a_file_is_named_as_glog_names_it() -> None:
    name = file_name("serving", "host", "me", WARNING, now=0.0, pid=7)
    assert re.fullmatch(r"serving\.host\.me\.log\.WARNING\.(19700101|19691231)-\d{6}\.7", name)


def test_a_line_stands_in_the_file_of_its_severity_and_in_all_below(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", stderr_threshold=ERROR + 1)
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
    assert "/" not in target
    assert (folder / target).is_file()


def test_collected_lines_are_written_before_any_later_line(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.collect("first\nsecond\n")
    log.info_line("a.cpp:1", "third")
    log.collect("fourth\n")
    log.flush()
    lines = (tmp_path / "serving.INFO").read_text().splitlines()[3:]
    assert [line.rpartition(" ")[2] for line in lines] == ["first", "second", "third", "fourth"]


def test_stamps_carry_microseconds_and_follow_the_second() -> None:
    stamp = Stamps()
    assert stamp(1000.5).endswith(".500000")
    assert stamp(1000.000001).endswith(".000001")
    assert stamp(1001.0)[:-7] != stamp(1000.0)[:-7]


def test_lines_below_the_lowest_level_are_left_out(tmp_path: Path) -> None:
    log = Log(tmp_path, lowest=WARNING)
    log.write(INFO, "a.cpp:1", "quiet")
    log.write(WARNING, "a.cpp:1", "loud")
    text = (tmp_path / "serving.INFO").read_text()
    assert "quiet" not in text
    assert "loud" in text
    assert not log.requests_logged


def test_a_log_that_cannot_be_written_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log", also_to_stderr=True)
    shutil.rmtree(tmp_path / "log")
    gone = open(os.devnull, "w")  # noqa: SIM115
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    log.collect("line\n")
    log.error_line("a.cpp:1", "no folder, no stderr")
    # As soon as it can be written again, it is.
    (tmp_path / "log").mkdir()
    log.error_line("a.cpp:1", "back")
    assert "back" in (tmp_path / "log" / "serving.ERROR").read_text()


def test_a_file_whose_header_cannot_be_written_is_closed(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", stderr_threshold=ERROR + 1)
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
