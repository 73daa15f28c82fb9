"""Reloads, signals and what goes wrong: each on a server of its own."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

from harness import waits

from .check_http import JSON, price
from .check_log import IDLE, lines_in_order
from .checks import JSON_BODY, PRICE, Subject, check, holds, same
from .server import TIME_FILE, Launched
from .wire import http

# The second model's price for the same row: twice the weights, twice the bias.
PRICE_2 = 2 * PRICE
STAT_FAILED = "infer.cpp:166] Failed stat config file:uci_housing_model/fluid_time_file"


def predicted(server: Launched) -> Any:
    return price(http(server.port, JSON_BODY, headers=JSON))


def set_second(server: Launched, second: float) -> None:
    os.utime(server.live / TIME_FILE, (second, second))


def ticks(server: Launched, count: int) -> str:
    """Waits for whole ticks; gives the log since."""
    start = len(server.log())
    for _ in range(count + 1):
        seen = len(server.log())
        server.wait_for_log("Begin reload framework...", start=seen)
    return server.log()[start:]


@check(
    "reload",
    "another second in the time file loads the model; the lines, in order; the index "
    "alternates from reload to reload",
    own=True,
)
def _(subject: Subject) -> None:
    with subject.launch() as server:
        same(predicted(server), PRICE, "before")
        for index, model, wanted in ((1, "uci_2", PRICE_2), (0, "uci", PRICE)):
            start = len(server.log())
            server.install(subject.models / model)
            text = server.wait_for_log("infer.h:239] Succ load engine", start=start)
            text = server.wait_for_log("Finish reload", start=start + text.index("infer.h:239]"))
            text = server.log()[start:]
            same(predicted(server), wanted, f"after {model}")
            done = (
                r"W infer\.h:481\] \[\d+\] Reload clone model and cube cache done\. "
                rf"switching to current_idx\[{index}\]"
            )
            lines_in_order(
                text,
                [
                    IDLE[0],
                    r"W infer\.cpp:134\] begin reload model\[uci_housing_model\]\.",
                    r"W infer\.h:434\] tid:\d+ Loading clone model \.\.\.",
                    rf"W infer\.h:447\] create cube cache\[{index}\] done\.",
                    *([done] * (server.threads + 1)),
                    r"W infer\.h:239\] Succ load engine, path: uci_housing_model",
                    r"I request_cache\.cpp:230\] Clear 0 key!",
                    *IDLE[1:],
                ],
            )


@check(
    "reload",
    "an older second reloads too; the same second with another fraction does not; "
    "a server is never restarted for it",
)
def _(subject: Subject) -> None:
    server = subject.server
    pid = server.pid
    before = server.reloads()
    set_second(server, 1_000_000_000.0)
    waits.wait_for(lambda: server.reloads() > before, "a reload", 15, log=server.log_file())
    same(server.reloads(), before + 1, "reloads for an older second")
    set_second(server, 1_000_000_000.7)
    ticks(server, 2)
    same(server.reloads(), before + 1, "reloads for another fraction")
    same(server.pid, pid, "the pid")


@check(
    "reload",
    "the live directory gone: each tick logs `Failed stat`, the old model serves on; "
    "back with the same second: no reload",
)
def _(subject: Subject) -> None:
    server = subject.server
    before = server.reloads()
    away = server.live.with_name("away")
    server.live.rename(away)
    start = len(server.log())
    server.wait_for_log(STAT_FAILED, start=start)
    text = ticks(server, 1)
    holds(STAT_FAILED in text, "not on every tick")
    holds(STAT_FAILED in server.log("ERROR"), "it is not in serving.ERROR")
    same(predicted(server), PRICE, "while it is gone")
    away.rename(server.live)
    ticks(server, 1)
    text = ticks(server, 1)
    holds(STAT_FAILED not in text, text[-300:])
    same(server.reloads(), before, "reloads")


@check("start", "the time file absent at start: it ends at once with `Failed load model_data_path`")
def _(subject: Subject) -> None:
    server = subject.server
    with subject.folder() as folder:
        # The launcher always makes the time file, so the binary is started by hand.
        shutil.copytree(server.folder / f"workdir_{server.port}", folder / "workdir")
        shutil.copytree(server.live, folder / server.live.name)
        (folder / server.live.name / TIME_FILE).unlink()
        for name in ("resource.prototxt",):
            text = (folder / "workdir" / name).read_text()
            text = text.replace(f"workdir_{server.port}", "workdir")
            (folder / "workdir" / name).write_text(text)
        done = subprocess.run(
            [
                str(subject.binary),
                *("-inferservice_path", "workdir", "-inferservice_file", "infer_service.prototxt"),
                *("-workflow_path", "workdir", "-resource_path", "workdir"),
                *("-enable_model_toolkit", "-num_threads", "4"),
            ],
            cwd=folder,
            check=False,
            capture_output=True,
            timeout=60,
        )
        holds(done.returncode != 0, "the exit code is 0")
        log = (folder / "log" / "serving.ERROR").read_text()
        holds("infer.cpp:34] Failed load model_data_path" in log, log)


@check(
    "signals",
    "SIGINT: `is going to quit`, waits out the sleep, `Exit reload worker!`",
    own=True,
)
def _(subject: Subject) -> None:
    with subject.launch() as server:
        server.interrupt()
        waits.wait_for(
            lambda: not server.process.running, "the server to end", 15, log=server.log_file()
        )
        lines_in_order(
            server.log(),
            [
                r"I server\.cpp:1101\] Server\[.*\] is going to quit",
                r"I server\.cpp:167\] Exit reload worker!",
            ],
        )


@check("signals", "SIGTERM ends it at once, without a line", own=True)
def _(subject: Subject) -> None:
    with subject.launch(tick_s=60) as server:
        os.kill(server.pid, signal.SIGTERM)
        waits.wait_for(
            lambda: not server.process.running, "the server to end", 5, log=server.log_file()
        )
        holds("going to quit" not in server.log(), "it logged that it quits")


@check("launcher", "`serve stop` ends it and takes ProcessInfo.json away", own=True)
def _(subject: Subject) -> None:
    with subject.launch() as server:
        holds((server.folder / "ProcessInfo.json").is_file(), "no ProcessInfo.json")
        subprocess.run(
            [sys.executable, "-m", "paddle_serving_server.serve", "stop"],
            cwd=server.folder,
            env={**os.environ, "SERVING_HOME": str(server.folder)},
            check=False,
            capture_output=True,
            timeout=60,
        )
        waits.wait_for(
            lambda: not server.process.running, "the server to end", 15, log=server.log_file()
        )
        holds(not (server.folder / "ProcessInfo.json").exists(), "ProcessInfo.json is still there")


def _truncated(live: Path) -> None:
    params = live / "params.pdiparams"
    params.write_bytes(params.read_bytes()[:-8])


def _corrupt(live: Path) -> None:
    params = live / "params.pdiparams"
    params.write_bytes(b"\xff" * params.stat().st_size)


def _garbage(live: Path) -> None:
    (live / "model.pdmodel").write_bytes(bytes(range(256)) * 8)


def _no_params(live: Path) -> None:
    (live / "params.pdiparams").unlink()


def _no_program(live: Path) -> None:
    (live / "model.pdmodel").unlink()


def _reload_ended(server: Launched, start: int) -> bool:
    if not server.process.running:
        return True
    text = server.log()[start:]
    return "Failed reload resource!" in text or "Succ load engine" in text


@check(
    "reload",
    "a bad model at a reload (corrupt, garbage, missing) kills the server",
    wanted="it logs the reason, serves the model it has, and loads the next good one",
)
def _(subject: Subject) -> bool:
    damages: list[tuple[Callable[[Path], None], str]] = [
        (_truncated, "truncated"),
        (_corrupt, "no tensor"),
        (_garbage, "the program "),
        (_no_params, "has no parameters"),
        (_no_program, "has no program"),
    ]
    server = subject.server
    for damage, reason in damages:
        start = len(server.log())
        damage(server.live)
        server.touch()
        waits.wait_for(
            functools.partial(_reload_ended, server, start),
            "the reload of a bad model to end",
            20,
        )
        if not server.process.running:
            return False
        text = server.log()[start:]
        lines_in_order(
            text,
            [
                r"W infer\.cpp:134\] begin reload model\[uci_housing_model\]\.",
                rf"E paddle_engine\.h:167\] create paddle predictor failed, .*{reason}.*",
                r"E infer\.h:438\] Failed create model, path: uci_housing_model",
                r"E infer\.cpp:283\] Failed reload version engine: 18446744073709551615",
                r"E server\.cpp:157\] Failed reload resource!",
            ],
        )
        same(predicted(server), PRICE, f"with {damage.__name__} in the live directory")
    server.reload(subject.models / "uci_2")
    same(predicted(server), PRICE_2, "after the next good model")
    server.reload(subject.models / "uci")
    return True


@check(
    "requests",
    "a wrong feed name, or a missing, negative or wrong shape makes the server abort",
    wanted="E-5100 with the reason, and the server stays up",
)
def _(subject: Subject) -> bool:
    body = JSON_BODY.decode()
    wrong = {
        "there is no feed y": body.replace('"name":"x"', '"name":"y"', 1),
        "feed x has no shape": body.replace('"shape":[1,13]', '"shape":[]'),
        "has the negative dimension": body.replace('"shape":[1,13]', '"shape":[-1,13]'),
        "the model takes [-1, 13]": body.replace('"shape":[1,13]', '"shape":[13,1]'),
        "but its shape [1, 14] takes 14": body.replace('"shape":[1,13]', '"shape":[1,14]'),
    }
    server = subject.server
    for reason, text in wrong.items():
        try:
            answer = http(server.port, text.encode(), headers=JSON)
        except (EOFError, OSError):
            return False
        same(answer.status_line, "HTTP/1.1 500 Internal Server Error")
        shown = answer.body.decode()
        holds("[E-5100]InferService inference failed! " in shown and reason in shown, shown)
    same(predicted(server), PRICE, "afterwards")
    return True


@check(
    "start",
    "it listens on every address",
    wanted="on 127.0.0.1 unless ENGINE_HOST says otherwise",
    own=True,
)
def _(subject: Subject) -> bool:
    def listening(server: Launched) -> set[str]:
        wanted = f"{server.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {
            address.partition(":")[0]
            for _, address, _, state, *_ in rows
            if state == "0A" and address.endswith(":" + wanted)
        }

    everywhere, loopback = "00000000", "0100007F"
    if listening(subject.server) == {everywhere}:
        return False
    same(listening(subject.server), {loopback}, "addresses")
    with subject.launch(env={"ENGINE_HOST": "0.0.0.0"}) as server:
        same(listening(server), {everywhere}, "addresses with ENGINE_HOST=0.0.0.0")
    return True
