"""The log files: names, header, lines."""

from __future__ import annotations

import os
import re
import socket

from .check_http import JSON, price
from .checks import JSON_BODY, PRICE, Subject, check, holds, same
from .wire import http

STAMP = r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ "


def lines_in_order(text: str, wanted: list[str]) -> None:
    """Raises ``Differs`` unless the lines (patterns behind time and thread) come in this order."""
    at = 0
    lines = text.splitlines()
    for pattern in wanted:
        severity, rest = pattern[0], pattern[2:]
        whole = re.compile(rf"{severity}\d{{4}} \d\d:\d\d:\d\d\.\d{{6}} +\d+ {rest}$")
        found = next((n for n in range(at, len(lines)) if whole.match(lines[n])), None)
        holds(
            found is not None,
            f"no line {pattern!r} behind {lines[at - 1] if at else 'the start'!r}; "
            f"then came {lines[at : at + 4]}",
        )
        assert found is not None
        at = found + 1


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


@check("log", "serving.INFO and serving.WARNING are symlinks to glog's names")
def _(subject: Subject) -> None:
    folder = subject.server.folder / "log"
    for severity in ("INFO", "WARNING"):
        target = os.readlink(folder / f"serving.{severity}")
        name = re.escape(f"serving.{socket.gethostname()}.") + rf"[^.]+\.log\.{severity}"
        holds(re.fullmatch(rf"{name}\.\d{{8}}-\d{{6}}\.\d+", target), target)
        same(target.rpartition(".")[2], str(subject.server.pid), "the pid in the name")


@check("log", "every file starts with glog's three lines")
def _(subject: Subject) -> None:
    for severity in ("INFO", "WARNING"):
        lines = subject.server.log(severity).splitlines()[:4]
        pattern = r"Log file created at: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d"
        holds(re.fullmatch(pattern, lines[0]), lines[0])
        same(lines[1], f"Running on machine: {socket.gethostname()}")
        same(
            lines[2],
            "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg",
        )
        holds(re.match(STAMP, lines[3]), lines[3])


@check("log", "the lines at start, in order")
def _(subject: Subject) -> None:
    lines_in_order(subject.server.log(), START)
    lines_in_order(subject.server.log(), SERVING)
    holds("server.cpp:152] Entrence reload worker, interval_s: 1" in subject.server.log(), "none")


@check("log", "at start each of the N + 1 workers logs its lines")
def _(subject: Subject) -> None:
    text = subject.server.log()
    workers = subject.server.threads + 1
    start = text[: text.index("is serving on port")]
    pattern = r"infer\.h:434\] tid:\d+ Loading clone model \.\.\."
    same(len(re.findall(pattern, start)), workers, "Loading clone model")
    pattern = r"infer\.h:481\] \[\d+\] Reload clone model and cube cache done\. switching to curr"
    same(len(re.findall(pattern, start)), workers, "switching to current_idx")
    same(start.count("infer.h:447] create cube cache[0] done."), 1, "create cube cache")
    same(len(re.findall(r"infer\.h:474\] tid:\d+ clone caches done", start)), workers - 1)


@check("log", "a WARNING line is in both files, an INFO line in one")
def _(subject: Subject) -> None:
    warning = subject.server.log("WARNING")
    holds("infer.cpp:43] Succ load model" in warning, "the WARNING file lacks a warning")
    holds("server.cpp:101]" not in warning, "the WARNING file has an INFO line")


@check("log", "a tick on which nothing changed logs three lines")
def _(subject: Subject) -> None:
    server = subject.server
    begin = "Begin reload framework..."
    server.wait_for_log(begin, start=len(server.log()))
    # From the start of the last tick's first line on.
    start = server.log().rindex("\n", 0, server.log().rindex(begin)) + 1
    server.wait_for_log("Finish reload 1 workflow(s)", start=start)
    lines_in_order(server.log()[start:], IDLE)


@check("log", "a request logs its eight lines")
def _(subject: Subject) -> None:
    server = subject.server
    start = len(server.log())
    body = JSON_BODY.replace(b'"log_id":0', b'"log_id":77')
    same(price(http(server.port, body, headers=JSON)), PRICE)
    text = server.wait_for_log("[serving]logid=77,cost=", start=start)
    side = r"\[127\.0\.0\.1:\d+\]"
    lines_in_order(
        text,
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


@check("log", "a request that fails logs `Failed call inferservice` with its error code")
def _(subject: Subject) -> None:
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
