"""The log files: names, header, lines."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from .check_http import JSON, price
from .checks import JSON_BODY, PRICE, Subject, holds, same
from .server import Launched
from .wire import http

STAMP = r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ "


BEGIN = "Begin reload framework..."
STAT_FAILED = "infer.cpp:166] Failed stat config file:uci_housing_model/fluid_time_file"


def line(pattern: str) -> re.Pattern[str]:
    """Return the pattern of a whole line.

    ``pattern`` has the severity, a blank, and what follows the time and the thread.
    """
    severity, rest = pattern[0], pattern[2:]
    return re.compile(rf"{severity}\d{{4}} \d\d:\d\d:\d\d\.\d{{6}} +\d+ {rest}$", re.MULTILINE)


def lines_in_order(text: str, wanted: list[str]) -> None:
    """Raise ``Differs`` unless these lines come in this order; others may be between them."""
    at = 0
    lines = text.splitlines()
    for pattern in wanted:
        found = next((n for n in range(at, len(lines)) if line(pattern).match(lines[n])), None)
        holds(
            found is not None,
            f"no line {pattern!r} behind {lines[at - 1] if at else 'the start'!r}; "
            f"then came {lines[at : at + 4]}",
        )
        assert found is not None
        at = found + 1


def lines_exactly(text: str, wanted: list[str]) -> None:
    """Raise ``Differs`` unless the text is these lines and no others."""
    lines = text.splitlines()
    for seen, pattern in zip(lines, wanted):
        holds(line(pattern).match(seen), f"{seen!r} instead of {pattern!r}")
    same(lines[len(wanted) :], [], "more lines")
    same(wanted[len(lines) :], [], "missing lines")


def tick_with(server: Launched, text: str, start: int) -> str:
    """Wait for the tick that logs ``text`` behind ``start``, and return its lines.

    These are all lines up to the next tick, except those of requests: a server may answer a
    request before it logs the request.
    """
    server.wait_for_log(text, start=start)
    at = server.log().index(text, start) + len(text)
    server.wait_for_log(BEGIN, start=at)
    log = server.log()
    first = log.rindex(BEGIN, 0, at)
    tick = log[log.rindex("\n", 0, first) + 1 : log.rindex("\n", 0, log.index(BEGIN, at)) + 1]
    return "".join(one for one in tick.splitlines(keepends=True) if "logid=" not in one)


START = [
    "W infer\\.cpp:43\\] Succ load model:uci_housing_model",
    "W infer\\.cpp:234\\] Succ proc initialize version engine: 18446744073709551615",
    "W infer\\.cpp:429\\] Succ proc initialize engine: GeneralInferOp_0",
    "I manager\\.h:86\\] Succ init item:workflow1 "
    "from conf:workdir_\\d+/workflow\\.prototxt, at:0!",
    "I service\\.cpp:127\\] Succ load infer_service: GeneralModelService!",
]
SERVING = [
    "I server\\.cpp:1046\\] Server\\[baidu::paddle_serving::predictor::general_model::"
    "GeneralModelServiceImpl\\] is serving on port=\\d+\\.",
    "I server\\.cpp:101\\] C\\+\\+ Serving service started successfully!",
]
IDLE = [
    "I server\\.cpp:155\\] Begin reload framework\\.\\.\\.",
    "W infer\\.cpp:286\\] Succ reload version engine: 18446744073709551615",
    "I manager\\.h:131\\] Finish reload 1 workflow\\(s\\)",
]
# The places in the server's source that log a tick.
TICKING = ("server.cpp:155]", "infer.cpp:286]", "manager.h:131]")


def symlink(folder: Path, severity: str, pid: int) -> None:
    """Require the link of a severity to have the name that glog gives it."""
    target = os.readlink(folder / f"serving.{severity}")
    name = re.escape(f"serving.{socket.gethostname()}.") + rf"[^.]+\.log\.{severity}"
    holds(re.fullmatch(rf"{name}\.\d{{8}}-\d{{6}}\.\d+", target), target)
    same(target.rpartition(".")[2], str(pid), "the pid in the name")


def header(text: str) -> None:
    """Require the first lines of a log to be those that glog writes."""
    lines = text.splitlines()[:4]
    pattern = r"Log file created at: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d"
    holds(re.fullmatch(pattern, lines[0]), lines[0])
    same(lines[1], f"Running on machine: {socket.gethostname()}")
    same(lines[2], "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg")
    holds(re.match(STAMP, lines[3]), lines[3])


def symlinks(subject: Subject) -> None:
    """The files serving.INFO and serving.WARNING are symlinks to glog's names."""
    for severity in ("INFO", "WARNING"):
        symlink(subject.server.folder / "log", severity, subject.server.pid)


def headers(subject: Subject) -> None:
    """Every file starts with glog's three lines."""
    for severity in ("INFO", "WARNING"):
        header(subject.server.log(severity))


def error_file(subject: Subject) -> None:
    """The file serving.ERROR is there from the first error on; the line is in all three files."""
    with subject.launch() as server:
        folder = server.folder / "log"
        early = [file.name for file in folder.iterdir() if "ERROR" in file.name]
        same(early, [], "error files before the first error")
        server.live.rename(server.live.with_name("away"))
        server.wait_for_log(STAT_FAILED)
        symlink(folder, "ERROR", server.pid)
        header(server.log("ERROR"))
        (seen, *_) = [one for one in server.log().splitlines() if STAT_FAILED in one]
        same(seen[0], "E", "severity")
        for severity in ("INFO", "WARNING", "ERROR"):
            holds(seen in server.log(severity).splitlines(), f"serving.{severity} lacks {seen!r}")


def lines_at_start(subject: Subject) -> None:
    """The lines at start, in order."""
    lines_in_order(subject.server.log(), START)
    lines_in_order(subject.server.log(), SERVING)
    # A thread of its own writes this line, so it may be anywhere.
    lines_in_order(
        subject.server.log(), [r"I server\.cpp:152\] Entrence reload worker, interval_s: 1"]
    )


def lines_of_workers(subject: Subject) -> None:
    """At start each of the N + 1 workers logs its lines."""
    text = subject.server.log()
    workers = subject.server.threads + 1
    start = text[: text.index("is serving on port")]
    for pattern, times in (
        (r"W infer\.h:434\] tid:\d+ Loading clone model \.\.\.", workers),
        (r"W infer\.h:447\] create cube cache\[0\] done\.", 1),
        (r"W infer\.h:474\] tid:\d+ clone caches done", workers - 1),
        (
            r"W infer\.h:481\] \[\d+\] Reload clone model and cube cache done\. "
            r"switching to current_idx\[0\]",
            workers,
        ),
    ):
        same(len(line(pattern).findall(start)), times, pattern)


def warning_in_both_files(subject: Subject) -> None:
    """A WARNING line is in both files, an INFO line in one."""
    warning = subject.server.log("WARNING")
    holds("infer.cpp:43] Succ load model" in warning, "the WARNING file lacks a warning")
    holds("server.cpp:101]" not in warning, "the WARNING file has an INFO line")


def idle_tick(subject: Subject) -> None:
    """A tick on which nothing changed logs three lines."""
    server = subject.server
    start = len(server.log())
    server.wait_for_log(BEGIN, start=start)
    at = server.log().index(BEGIN, start)
    lines_exactly(tick_with(server, "Finish reload 1 workflow(s)", at), IDLE)


def request(subject: Subject) -> None:
    """A request logs its eight lines."""
    server = subject.server
    start = len(server.log())
    body = JSON_BODY.replace(b'"log_id":0', b'"log_id":77')
    same(price(http(server.port, body, headers=JSON)), PRICE)
    text = server.wait_for_log("[serving]logid=77,cost=", start=start)
    # The reload thread may log a tick in between, and the server may still log an earlier request.
    lines = [one for one in text.splitlines() if not any(place in one for place in TICKING)]
    first = next((n for n, one in enumerate(lines) if "logid=77" in one), 0)
    side = r"\[127\.0\.0\.1:\d+\]"
    lines_exactly(
        "\n".join(lines[first:]),
        [
            rf"I general_model_service\.pb\.cc:3443\] \(logid=77\) remote_side={side}",
            rf"I general_model_service\.pb\.cc:3444\] \(logid=77\) local_side={side}",
            r"I general_model_service\.pb\.cc:3445\] \(logid=77\) "
            r"service_name=\[GeneralModelService\]",
            r"I op\.cpp:170\] \(logid=77\) GeneralReaderOp_0_time=\[\d+\]",
            r"I op\.cpp:170\] \(logid=77\) GeneralInferOp_0_time=\[\d+\]",
            r"I op\.cpp:170\] \(logid=77\) GeneralResponseOp_0_time=\[\d+\]",
            r"I service\.cpp:263\] \(logid=77\) workflow total time: \d+",
            r"I general_model_service\.pb\.cc:3460\] \[serving\]logid=77,cost=[\d.]+ms\.",
        ],
    )


def failed_request(subject: Subject) -> None:
    """A request that fails logs `Failed call inferservice` with its error code."""
    server = subject.server
    start = len(server.log())
    same(http(server.port, b'{"log_id":78}', headers=JSON).status, 500)
    text = server.wait_for_log("(logid=78) Failed call", start=start)
    lines_in_order(
        text,
        [
            r"W general_model_service\.pb\.cc:3446\] \(logid=78\) Failed call "
            r"inferservice\[GeneralModelService\], name\[GeneralModelService\], error_code: -5100"
        ],
    )
