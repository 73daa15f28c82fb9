"""The builtin pages: plain text about the running engine. Pure but for the clock and /proc."""

from __future__ import annotations

import os
import time
from typing import Protocol

from . import __version__
from ._batcher import Counters
from ._gflags import Flags
from ._prototxt import Serving
from ._routes import FULL_SERVICE, PAGES


class Shown(Protocol):
    """What the pages need to see of the engine."""

    flags: Flags
    serving: Serving
    started: float
    reloads: int

    @property
    def counters(self) -> Counters: ...

    @property
    def connections(self) -> list[str]: ...


def page(name: str, rest: str, engine: Shown) -> str:
    """The text of one page of ``PAGES``."""
    if name == "health":
        return "OK"
    if name == "version":
        return f"embedded-serving {__version__}, standing in for serving 0.9.0"
    if name == "flags":
        return "".join(
            f"{flag}={value}" + ("" if value == default else f" (default:{default})") + "\n"
            for flag, value, default in engine.flags.items()
            if not rest or flag in rest.split(";")
        )
    if name == "connections":
        remotes = engine.connections
        return f"server_socket_count: {len(remotes)}\n" + "".join(f"{one}\n" for one in remotes)
    if name == "vars":
        return "".join(f"{key} : {value}\n" for key, value in variables(engine).items())
    if name == "status":
        counters = engine.counters
        return (
            f"version: {FULL_SERVICE}\nnon_service_error: 0\nconnection_count: "
            f"{len(engine.connections)}\n\n{FULL_SERVICE}\ninference (Request) returns (Response)\n"
            f"count: {counters.succeeded}\nerror: {counters.failed}\n"
            f"latency: {_microseconds(counters)}\n"
        )
    return "".join(f"/{one}\n" for one in PAGES)


def variables(engine: Shown) -> dict[str, object]:
    """Name and value of what /vars shows."""
    counters = engine.counters
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "pid": os.getpid(),
        "process_memory_resident": resident,
        "process_uptime": f"{time.time() - engine.started:.0f}",
        "rpc_server_connection_count": len(engine.connections),
        "serving_inference_count": counters.succeeded,
        "serving_inference_error": counters.failed,
        "serving_inference_latency": _microseconds(counters),
        "serving_inference_runs": counters.runs,
        "serving_model_dir": engine.serving.model_dir,
        "serving_reload_count": engine.reloads,
    }


def _microseconds(counters: Counters) -> str:
    answered = counters.succeeded
    return f"{counters.seconds / answered * 1e6:.0f}" if answered else "0"
