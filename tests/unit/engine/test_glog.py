"""The log's files and lines."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from engine._glog import Log


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


def test_the_info_file_gets_a_line_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path)
    order: list[str] = []
    write = os.write

    def seen_write(descriptor: int, data: bytes) -> int:
        if b"three" in data:
            order.append(os.readlink(f"/proc/self/fd/{descriptor}").split(".log.")[1].split(".")[0])
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", seen_write)
    log.error_line("c.cpp:3", "three")
    assert order == ["ERROR", "WARNING", "INFO"]


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


def test_a_name_that_a_client_made_up_makes_no_line_of_its_own(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.error_line("a.cpp:1", "no feed y\nW0101 Succ load engine, path: \u2028\x1b[2J\ud800 \u540d")
    (line,) = (tmp_path / "serving.ERROR").read_text().splitlines()[3:]
    assert line.endswith(
        "a.cpp:1] no feed y\\nW0101 Succ load engine, path: \\u2028\\x1b[2J\\ud800 \u540d"
    )
