"""Starts, ends, and requests that go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import waits
from harness.ports import is_listening

from .by_hand import ByHand
from .check_http import JSON, predicted, price
from .check_log import lines_in_order
from .checks import JSON_BODY, PRICE, Subject, check, holds, same
from .server import SERVING, TIME_FILE, Launched
from .wire import http


@check("start", "the launcher shows the binary's own `C++ Serving service started successfully!`")
def _(subject: Subject) -> None:
    said = (subject.server.folder / "launcher.log").read_text().splitlines()
    holds(f"Use local bin : {subject.binary}" in said, f"it printed {said}")
    holds("Going to Run Comand" in said, f"it printed {said}")
    waits.wait_for(
        lambda: SERVING in (subject.server.folder / "launcher.log").read_text().splitlines(),
        f"{SERVING!r} on standard output",
        5,
        log=subject.server.folder / "launcher.log",
    )


@check("start", "the port in infer_service.prototxt counts, not -port")
def _(subject: Subject) -> None:
    server = subject.server
    with (
        subject.folder() as folder,
        ByHand(subject.binary, server, folder, words=["-port", str(server.port)]) as other,
    ):
        other.start()
        holds(other.port != server.port and is_listening(other.port), "nothing listens there")
        holds(f"is serving on port={other.port}." in other.log(), other.log()[-300:])


for _program, _params in (("__model__", "__params__"), ("model", "params")):

    @check("start", f"the model's files may be called {_program} and {_params}", own=True)
    def _(subject: Subject, _program: str = _program, _params: str = _params) -> None:
        with subject.folder() as folder, ByHand(subject.binary, subject.server, folder) as other:
            (other.live / "model.pdmodel").rename(other.live / _program)
            (other.live / "params.pdiparams").rename(other.live / _params)
            other.start()
            same(price(http(other.port, JSON_BODY, headers=JSON)), PRICE)


@check("start", "the time file absent at start: it ends at once with `Failed load model_data_path`")
def _(subject: Subject) -> None:
    with subject.folder() as folder, ByHand(subject.binary, subject.server, folder) as other:
        (other.live / TIME_FILE).unlink()
        holds(other.run() != 0, "the exit code is 0")
        log = other.log("ERROR")
        holds("infer.cpp:34] Failed load model_data_path" in log, log)


@check("start", "a port that is taken meanwhile ends it with `Fail to listen` and not 0")
def _(subject: Subject) -> None:
    server = subject.server
    with subject.folder() as folder, ByHand(subject.binary, server, folder) as other:
        # The launcher looks at the port before the binary does.
        file = folder / "workdir" / "infer_service.prototxt"
        file.write_text(file.read_text().replace(f"{other.port}", f"{server.port}"))
        holds(other.run() != 0, "the exit code is 0")
        log = other.log("ERROR")
    holds("server.cpp:956] Fail to listen" in log and f":{server.port}" in log, log)


TICK_S = 5


@check("signals", "SIGINT: `is going to quit`, waits out the sleep, `Exit reload worker!`")
def _(subject: Subject) -> None:
    words = ["-reload_interval_s", str(TICK_S)]
    with (
        subject.folder() as folder,
        ByHand(subject.binary, subject.server, folder, words=words) as server,
    ):
        server.start()
        # A sleep begins here, so nearly all of it is left.
        server.wait_for_log("Finish reload 1 workflow(s)")
        start = time.monotonic()
        server.process.signal(signal.SIGINT)
        server.process.wait(3 * TICK_S)
        took = time.monotonic() - start
        holds(took > TICK_S / 2, f"it ended after {took:.1f} s of a sleep of {TICK_S} s")
        lines_in_order(
            server.log(),
            [
                r"I server\.cpp:1101\] Server\[.*\] is going to quit",
                r"I server\.cpp:167\] Exit reload worker!",
            ],
        )


@check("signals", "SIGTERM ends it at once, without a line")
def _(subject: Subject) -> None:
    # By hand, because the launcher keeps the exit code to itself.
    words = ["-reload_interval_s", "60"]
    with (
        subject.folder() as folder,
        ByHand(subject.binary, subject.server, folder, words=words) as server,
    ):
        server.start()
        server.process.signal(signal.SIGTERM)
        same(server.process.wait(5), 128 + signal.SIGTERM, "exit code (of the signal)")
        holds("going to quit" not in server.log(), "it logged that it quits")


@check("launcher", "`serve stop` ends it and takes ProcessInfo.json away", own=True)
def _(subject: Subject) -> None:
    with subject.launch() as server:
        holds((server.folder / "ProcessInfo.json").is_file(), "no ProcessInfo.json")
        information = json.loads((server.folder / "ProcessInfo.json").read_text())
        same([one["port"] for one in information], [[server.port]], "ports in ProcessInfo.json")
        stopped = subprocess.run(
            [sys.executable, "-m", "paddle_serving_server.serve", "stop"],
            cwd=server.folder,
            env={**os.environ, "SERVING_HOME": str(server.folder)},
            check=False,
            capture_output=True,
            timeout=60,
        )
        # Its success; the launcher turns true into -1.
        same(stopped.returncode, 255, "exit code of `serve stop`")
        waits.wait_for(
            lambda: not server.process.running, "the server to end", 15, log=server.log_file()
        )
        holds(not (server.folder / "ProcessInfo.json").exists(), "ProcessInfo.json is still there")


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
    "requests",
    "too few values for the shape: 200 with garbage",
    wanted="E-5100 with the reason",
)
def _(subject: Subject) -> bool:
    body = JSON_BODY.replace(b"[1,1,1,", b"[1,1,")
    answer = http(subject.port, body, headers=JSON)
    if answer.status == 200:
        return False
    same(answer.status_line, "HTTP/1.1 500 Internal Server Error")
    shown = answer.body.decode()
    holds("feed x has 12 elements of float32, but its shape [1, 13] takes 13" in shown, shown)
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
