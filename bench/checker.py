"""What it costs to judge a long history: seconds and memory of ``python -m harness check``.

    python -m bench.checker                          up to 1,000,000 answers and 1,000 releases
    python -m bench.checker --ten_times              and ten times that (a file of 2 GB)

One table. Each history is that of a valid run of three clients with generated releases. It is the
same at each call, and has what each claim needs. ``ratio`` is the CPU time beside that of a tenth
of the input: other work on the machine changes it less than the seconds. Starting Python is in all
figures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

from harness.checker.history import SCHEMA

_CLIENTS = ("brpc", "http", "grpc")
# Answers and releases; each row has ten times the answers of the one above it.
_SIZES = ((10_000, 10), (100_000, 100), (1_000_000, 1_000))
_TEN_TIMES = (10_000_000, 10_000)
_SWAP_S, _RELOAD_S = 0.2, 0.6
# Answers a second: what a run asks by default.
_RATE = 200
_SAMPLE_S = 0.5


def events(answers: int, releases: int) -> Iterator[dict[str, Any]]:
    """Yield a valid history; the releases are published at equal intervals."""
    every_s = answers / _RATE / releases
    end = 1 + every_s * releases
    leg = {"remote": "ftp"}
    yield {"event": "run", "t": 0, "schema": SCHEMA, "remotes": ["ftp"]}
    yield {
        **{"event": "settings", "t": 0, **leg, "clients": _CLIENTS, "releases": releases},
        **{"paced": True, "latency_bound_s": 1, "bound_s": 30, "switch_window_s": 0.5},
        **{"rtol": 1e-5, "tick_s": 1, "poll_s": 1, "load_bound_s": 5, "latency_window_s": 0.5},
        **{"latency_rise_bound_s": 0.005, "memory_bound_bytes": 100_000, "monitor_cpu_bound": 0.1},
        "poll_bound_bytes": 4096,
    }
    for number in range(releases):
        t = every_s * number
        digest = f"model-{number}"
        span = {"t_begin": t - 0.1, "t_end": t}
        yield {
            **{"event": "published", "t": t, **leg, "release": number, "digest": digest},
            **{"expected": [10 + number / 7], "size": 10_000, **span},
        }
        yield {"event": "swapped", "t": t + _SWAP_S, **leg, "digest": digest}
        if number:
            line = "begin reload model[m]."
            yield {"event": "server_log", "t": t + _RELOAD_S - 0.1, **leg, "line": line}
    yield {"event": "server", "t": 0.9, **leg, "identity": "1"}
    for number in range(answers):
        t = 1 + number / _RATE
        release = min(releases - 1, int((t - _RELOAD_S) / every_s))
        yield {
            **{"event": "prediction", "t": t, **leg, "client": _CLIENTS[number % 3]},
            **{"n": number // 3 + 1, "value": [10 + release / 7], "planned": t - 0.0021},
            **{"sent": t - 0.002, "answered": t},
        }
    for number in range(int(end / _SAMPLE_S)):
        t = number * _SAMPLE_S
        if number % 2:
            yield {"event": "monitor_log", "t": t, **leg, "line": "sleep 1s."}
        for part in ("server", "monitor"):
            grown = {"cpu_s": t * 0.02, "bytes": number * 100}
            yield {
                **{"event": "resources", "t": t, **leg, "part": part, "pid": 1, **grown},
                **{"rss_bytes": 90_000_000 + number % 7 * 4096, "fds": 20, "threads": 9},
            }
    yield {"event": "server", "t": end, **leg, "identity": "1"}
    for number, client in enumerate(_CLIENTS):
        asked = len(range(number, answers, 3))
        yield {"event": "client_ended", "t": end, **leg, "client": client, "asked": asked}
    yield {"event": "leg_ended", "t": end, **leg, "seconds": end}
    yield {"event": "end", "t": end}


class Cost(NamedTuple):
    """What a command cost: seconds, CPU seconds, and its largest memory in MB."""

    seconds: float
    cpu_s: float
    memory: float


def judged(history: Path) -> tuple[Cost, int]:
    """Run the command; return its cost and its exit code."""
    words = [sys.executable, "-m", "harness", "check", str(history)]
    begin = time.monotonic()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(words[0], words, os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - begin
    cost = Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
    return cost, os.waitstatus_to_exitcode(status)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.checker")
    parser.add_argument("--ten_times", action="store_true", help="and ten times the last row")
    args = parser.parse_args()
    table = Table("answers", "releases", "file, MB", "seconds", "CPU, s", "ratio", "memory, MB")
    before = 0.0
    for answers, releases in (*_SIZES, *([_TEN_TIMES] if args.ten_times else [])):
        with tempfile.TemporaryDirectory() as folder:
            history = Path(folder) / "history.jsonl"
            with history.open("wb") as file:
                for event in events(answers, releases):
                    file.write(orjson.dumps(event) + b"\n")
            cost, code = judged(history)
            size = history.stat().st_size / 1e6
        if code:
            print(f"bench: the verdict on {answers} answers is not valid", file=sys.stderr)
            return 1
        ratio = f"{cost.cpu_s / before:.1f}" if before else ""
        figures = (f"{size:.1f}", f"{cost.seconds:.1f}", f"{cost.cpu_s:.1f}", ratio)
        table.add_row(f"{answers:,}", f"{releases:,}", *figures, f"{cost.memory:.0f}")
        before = cost.cpu_s
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
