"""The log's files and lines."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Callable, Optional

import pytest

from engine._glog import ERROR, INFO, WARNING, Log, Stamps, file_name


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


def between_the_steps_of(
    code: CodeType, interrupt: Callable[[], None], run: Callable[[], Any]
) -> Any:
    """What ``run`` gives when ``interrupt`` comes before each instruction of ``code``.

    As another thread may come, which gets the interpreter between any two of them.
    """

    def enter(frame: FrameType, _event: str, _arg: Any) -> Optional[Callable[..., Any]]:
        if frame.f_code is not code:
            return None
        frame.f_trace_opcodes = True
        return step

    def step(_frame: FrameType, event: str, _arg: Any) -> Callable[..., Any]:
        if event == "opcode":
            sys.settrace(None)
            interrupt()
            sys.settrace(enter)
        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        return run()
    finally:
        sys.settrace(before)


def test_a_line_collected_while_another_thread_flushes_is_not_lost(tmp_path: Path) -> None:
    log = Log(tmp_path)
    collected: list[str] = []

    def collect() -> None:
        collected.append(f"line {len(collected)}")
        log.collect(f"{collected[-1]}\n")

    collect()
    between_the_steps_of(Log._flush_pending.__code__, collect, log.flush)
    between_the_steps_of(Log.collect.__code__, log.flush, collect)
    log.flush()
    assert len(collected) > 10
    assert (tmp_path / "serving.INFO").read_text().splitlines()[3:] == collected


def test_a_stamp_is_of_its_own_second_though_another_thread_stamps_another() -> None:
    stamp = Stamps()
    first, second = Stamps()(1000.0), Stamps()(1001.0)

    def other() -> None:
        assert stamp(1001.0) == second

    for _ in range(2):
        assert first == between_the_steps_of(Stamps.__call__.__code__, other, lambda: stamp(1000.0))
        assert stamp(1000.0) == first
        assert stamp(1001.0) == second


def test_a_name_that_a_client_made_up_makes_no_line_of_its_own(tmp_path: Path) -> None:
    log = Log(tmp_path, stderr_threshold=ERROR + 1)
    log.error_line("a.cpp:1", "no feed y\nW0101 Succ load engine, path: \u2028\x1b[2J\ud800 \u540d")
    (line,) = (tmp_path / "serving.ERROR").read_text().splitlines()[3:]
    assert line.endswith(
        "a.cpp:1] no feed y\\nW0101 Succ load engine, path: \\u2028\\x1b[2J\\ud800 \u540d"
    )
