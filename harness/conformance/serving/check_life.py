"""Starts, ends, and requests that go wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Optional

from harness.support import waits
from harness.support.live_directory import TIME_FILE
from harness.support.ports import is_listening

from .by_hand import ByHand
from .check_http import JSON, predicted
from .check_log import lines_in_order
from .checks import JSON_BODY, PRICE, Subject, holds, same
from .server import SERVING, Launched
from .wire import HttpAnswer, http


def says_that_it_serves(subject: Subject) -> None:
    """The launcher shows the binary's own `C++ Serving service started successfully!`."""
    said = (subject.server.folder / "launcher.log").read_text().splitlines()
    holds(f"Use local bin : {subject.binary}" in said, f"it printed {said}")
    holds("Going to Run Comand" in said, f"it printed {said}")
    waits.wait_for(
        lambda: SERVING in (subject.server.folder / "launcher.log").read_text().splitlines(),
        f"{SERVING!r} on standard output",
        5,
        log=subject.server.folder / "launcher.log",
    )


def port_of_prototxt(subject: Subject) -> None:
    """The port in infer_service.prototxt counts, not -port."""
    server = subject.server
    with subject.by_hand(words=["-port", str(server.port)]) as other:
        other.start()
        holds(other.port != server.port and is_listening(other.port), "nothing listens there")
        holds(f"is serving on port={other.port}." in other.log(), other.log()[-300:])


def file_names(subject: Subject, program: str, params: str) -> None:
    """The model's files may be called {program} and {params}."""
    with subject.by_hand() as other:
        (other.live / "model.pdmodel").rename(other.live / program)
        (other.live / "params.pdiparams").rename(other.live / params)
        other.start()
        same(predicted(other), PRICE)


def no_time_file(subject: Subject) -> None:
    """The time file absent at start: it ends at once with `Failed load model_data_path`."""
    with subject.by_hand() as other:
        (other.live / TIME_FILE).unlink()
        holds(other.run() != 0, "the exit code is 0")
        log = other.log("ERROR")
        holds("infer.cpp:34] Failed load model_data_path" in log, log)


def port_taken(subject: Subject) -> None:
    """A port that is taken meanwhile ends it with `Fail to listen` and not 0."""
    server = subject.server
    with subject.by_hand() as other:
        # The launcher looks at the port before the binary does.
        file = other.folder / "workdir" / "infer_service.prototxt"
        file.write_text(file.read_text().replace(f"{other.port}", f"{server.port}"))
        holds(other.run() != 0, "the exit code is 0")
        log = other.log("ERROR")
    holds("server.cpp:956] Fail to listen" in log and f":{server.port}" in log, log)


TICK_S = 5


def sigint(subject: Subject) -> None:
    """SIGINT: `is going to quit`, waits out the sleep, `Exit reload worker!`."""
    words = ["-reload_interval_s", str(TICK_S)]
    with subject.by_hand(words=words) as server:
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


def sigterm(subject: Subject) -> None:
    """SIGTERM ends it at once, without a line."""
    # By hand, because the launcher keeps the exit code to itself.
    words = ["-reload_interval_s", "60"]
    with subject.by_hand(words=words) as server:
        server.start()
        server.process.signal(signal.SIGTERM)
        same(server.process.wait(5), 128 + signal.SIGTERM, "exit code (of the signal)")
        holds("going to quit" not in server.log(), "it logged that it quits")


def serve_stop(subject: Subject) -> None:
    """`serve stop` ends it and takes ProcessInfo.json away."""
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
        # 255 is success: the launcher turns True into -1.
        same(stopped.returncode, 255, "exit code of `serve stop`")
        waits.wait_for(
            lambda: not server.process.running, "the server to end", 15, log=server.log_file()
        )
        holds(not (server.folder / "ProcessInfo.json").exists(), "ProcessInfo.json is still there")


class WrongFeed(NamedTuple):
    """A request of which the real server dies, and the reason of a server that refuses it."""

    body: bytes
    reason: str

    def is_no_answer_of(self, server: ByHand) -> None:
        """Raise ``Differs`` if the client gets more than ``{}``, the real server's answer."""
        answer = _asked(server.port, self.body)
        holds(answer is None or answer.body == b"{}", f"it answered {answer}")


def _asked(port: int, body: bytes) -> Optional[HttpAnswer]:
    """The answer, None when there is none."""
    try:
        return http(port, body, headers=JSON)
    except (EOFError, OSError):
        return None


def _with_shape(shape: bytes) -> bytes:
    return JSON_BODY.replace(b'"shape":[1,13]', b'"shape":' + shape)


WRONG_FEEDS = {
    "a wrong name": WrongFeed(
        JSON_BODY.replace(b'"name":"x"', b'"name":"y"', 1), "there is no feed y"
    ),
    "a missing shape": WrongFeed(_with_shape(b"[]"), "feed x has no shape"),
    "a negative shape": WrongFeed(_with_shape(b"[-1,13]"), "has the negative dimension"),
    "a wrong shape": WrongFeed(_with_shape(b"[13,1]"), "the model takes [-1, 13]"),
}


def wrong_feed(subject: Subject) -> bool:
    """A wrong feed name, or a missing, negative or wrong shape makes the server abort."""
    server = subject.server
    pid = server.pid
    for what, feed in WRONG_FEEDS.items():
        answer = _asked(server.port, feed.body)
        if answer is None or answer.status == 200:
            for each, one in WRONG_FEEDS.items():
                subject.dies_of(signal.SIGABRT, one.is_no_answer_of, each)
            return False
        same(answer.status_line, "HTTP/1.1 500 Internal Server Error", what)
        shown = answer.body.decode()
        failed = "[E-5100]InferService inference failed! "
        holds(failed in shown and feed.reason in shown, f"{what}: {shown}")
    same(predicted(server), PRICE, "afterwards")
    same(server.pid, pid, "the pid")
    return True


def too_few_values(subject: Subject) -> bool:
    """Too few values for the shape: 200 with garbage."""
    body = JSON_BODY.replace(b"[1,1,1,", b"[1,1,")
    server = subject.server
    answer = http(server.port, body, headers=JSON)
    shown = answer.body.decode()
    better = answer.status != 200
    if better:
        same(answer.status_line, "HTTP/1.1 500 Internal Server Error")
        holds("feed x has 12 elements of float32, but its shape [1, 13] takes 13" in shown, shown)
    else:
        # Whatever number it is: the last of the thirteen is what lay in memory.
        holds(re.search(r'"float_data":\[[^,\]]+\].*"alias_name":"price"', shown), shown)
    same(predicted(server), PRICE, "afterwards")
    return better


def addresses(subject: Subject) -> bool:
    """It listens on every address."""

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
