r"""One client that asks for predictions at a planned rate and writes each answer into the history.

    python -m harness.load.probe brpc --port 9292 --client_config client --feed feed.json \
        --fetch price --history history.jsonl --remote ftp --rate 70

``harness.load.asking`` has the kinds of clients. SIGTERM ends the program after the answer to the
current request; standard output says how many requests it sent. A failed request is an event,
which the checker judges.

The load is open-loop: request n has a planned time, n / rate after the first. A client has one
connection. If an answer is late, all overdue requests follow at once. Each keeps its planned time.
So a stall of the server shows in the latency of every request that was planned during the stall.

``--phase`` shifts all planned times by a share of 1 / rate. If the clients of a run have different
phases, they take turns and seldom wait for each other's processor.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import math
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Optional

from harness.checker.history import History

from .asking import KINDS, asker
from .lag import Lag

# prctl(2): how late the kernel may wake this process, in nanoseconds. The default is 50,000.
_PR_SET_TIMERSLACK = 29
# sched_setattr(2) on x86-64, and the size of its structure.
_SCHED_SETATTR, _SCHED_ATTR_BYTES = 314, 48
# The shortest slice of processor time that Linux gives, in nanoseconds.
_SLICE = 100_000
# The longest sleep, so that SIGTERM ends a slow client soon.
_MAX_SLEEP_S = 0.1


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m harness.load.probe")
    options.add_argument("kind", choices=KINDS)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--client_config", type=Path, required=True, help="the client's prototxt")
    options.add_argument("--feed", type=Path, required=True, help="JSON: name to values, one row")
    options.add_argument("--fetch", required=True, help="alias of the fetched variable")
    options.add_argument("--history", type=Path, required=True)
    options.add_argument("--remote", required=True, help="which remote the events belong to")
    options.add_argument("--server", help="which of several servers the events belong to")
    options.add_argument("--rate", type=float, required=True, help="requests planned a second")
    options.add_argument(
        "--phase",
        type=float,
        default=0.0,
        help="shift of planned times, as a share of 1 / rate (0)",
    )
    options.add_argument("--count", type=int, help="end after so many requests (only at SIGTERM)")
    options.add_argument("--name", help="the client's name in the history (its kind)")
    options.add_argument(
        "--timeout", type=float, default=20.0, help="seconds after which a request failed (20)"
    )
    return options


def _short_slices() -> None:
    """Ask for short slices of processor time, for this thread and all threads that it starts.

    Then the thread runs soon after it wakes up, even if other processes use all processors. Any
    user may ask. A kernel before Linux 6.12 ignores the request.
    """
    # Size, policy, flags, nice value, priority, slice, and two times of other policies.
    wanted = struct.pack("=IIQiIQQQ", _SCHED_ATTR_BYTES, os.SCHED_OTHER, 0, 0, 0, _SLICE, 0, 0)
    ctypes.CDLL(None).syscall(_SCHED_SETATTR, 0, wanted, 0)


def _punctual() -> None:
    """Let this thread wake up in time, and keep the garbage collector from pausing it."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
    # Only root may ask for real-time scheduling.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.collect()
    # The libraries' objects, which live as long as the process.
    gc.freeze()


def main(argv: Optional[list[str]] = None) -> int:
    """Ask until SIGTERM or SIGINT. Return exit code 0: failed requests are in the history."""
    args = _parser().parse_args(argv)
    # The compiled client hands sys.argv[0] to gflags and must not see our options.
    sys.argv = sys.argv[:1]
    name = args.name or args.kind
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    history = History(args.history).labelled(
        remote=args.remote, **({"server": args.server} if args.server else {})
    )
    # The client's library starts threads.
    _short_slices()
    ask = asker(
        args.kind,
        f"{args.host}:{args.port}",
        client_config=args.client_config,
        feed=args.feed,
        fetch=args.fetch,
        timeout_s=args.timeout,
    )
    _punctual()
    lag = Lag()
    asked = 0
    # The first planned time is the next one with this phase.
    begin = (math.ceil(time.monotonic() * args.rate - args.phase) + args.phase) / args.rate
    while not ended and asked != args.count:
        planned = begin + asked / args.rate
        left = planned - time.monotonic()
        if left > 0:
            time.sleep(min(left, _MAX_SLEEP_S))
            if left > _MAX_SLEEP_S or ended:
                continue
        asked += 1
        fields: dict[str, object] = {"client": name, "n": asked}
        sent = time.monotonic()
        try:
            fields["value"] = ask()
        except Exception as error:  # whatever a client library raises is a failed request
            fields["error"] = f"{type(error).__name__}: {error}"
        answered = time.monotonic()
        history.record("prediction", **fields, planned=planned, sent=sent, answered=answered)
        lag.add(planned=planned, sent=sent, answered=answered)
    due = math.floor((time.monotonic() - begin) * args.rate) + 1
    ended_as = {"client": name, "asked": asked, "planned": due}
    history.record("client_ended", **ended_as, lag=lag.as_json())
    print(f"{name}: {asked} requests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
