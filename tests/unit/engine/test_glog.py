"""The log's files and lines."""

from __future__ import annotations

import os
import re
from pathlib import Path

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
