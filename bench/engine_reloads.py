"""Memory over a thousand reloads, while a client asks all the time.

    python -m bench.engine_reloads                  1,000 reloads of the embedded engine
    python -m bench.engine_reloads --reloads 50

The launcher's shortest interval is a second; so the launcher writes its files, and then the
binary is started by hand on them with ``-reload_interval_s 0``. Prints one table: memory,
descriptors, threads and failed requests as the reloads go by. Exit code 1 when from the hundredth
reload (or the tenth part) to the last memory grew by more than 4 MiB, or descriptors or threads
became more, when there were ever more than four processes, and when a request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from harness.conformance.serving import server as likeness_server
from harness.conformance.serving.checks import JSON_BODY
from harness.conformance.serving.wire import http
from harness.support import guard, waits
from harness.support.errors import HarnessError
from harness.support.ports import is_listening
from harness.support.process import Process

MOST_GROWTH_KIB = 4096
# The engine, what its model processes come from, and two of them that take turns.
MOST_PROCESSES = 4
# Connections of clients that are asking at one look and not at the other.
CLIENTS_DESCRIPTORS = 4
# What a client that asks all the time makes memory go up and down by.
NOISE_KIB = 256
PRICES = (92.0, 184.0)


class Resources(NamedTuple):
    """Of a server and all processes it started.

    Memory is what no file stands behind; what the processes share is counted once (PSS). Pages of
    libraries are left out, because every other server on the machine has a share in those.
    """

    memory_kib: int
    descriptors: int
    threads: int
    processes: int


def resources(root: int) -> Resources:
    """Raises ``OSError`` when one of the processes ends meanwhile."""
    pids = [root, *guard.descendants(root)]
    memory = descriptors = threads = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        memory += sum(
            int(line.split()[1])
            for line in rollup.splitlines()
            if line.startswith(("Pss_Anon:", "Pss_Shmem:"))
        )
        descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        threads += len(os.listdir(f"/proc/{pid}/task"))
    return Resources(memory, descriptors, threads, len(pids))


def settled(root: int) -> Resources:
    """The resources once what the last reload replaced has been dropped."""
    seen: list[Resources] = []

    def still() -> bool:
        with contextlib.suppress(OSError):
            seen.append(resources(root))
            before, now = seen[-2:] if len(seen) > 1 else (None, seen[-1])
            return (
                before is not None
                and before.processes == now.processes
                and before.threads == now.threads
                and abs(before.memory_kib - now.memory_kib) < NOISE_KIB
            )
        return False

    # A model is dropped at low priority: two looks close together may both come before that.
    what = "two looks in a row to find the same processes, threads and memory"
    waits.wait_for(still, what, 30, every_s=0.25)
    return seen[-1]


def comparable(looks: list[Resources]) -> tuple[Resources, Resources]:
    """The first and the last look of those with as many processes as most have.

    A process that gives way to a fresh one is missing for the time of one reload.
    """
    often = statistics.mode(one.processes for one in looks)
    same = [one for one in looks if one.processes == often]
    return same[0], same[-1]


def kept(first: Resources, last: Resources, most_kib: int = MOST_GROWTH_KIB) -> list[str]:
    """What a server has more of than before, a sentence each; empty when all is well."""
    found = []
    if last.memory_kib - first.memory_kib > most_kib:
        found.append(f"memory grew by {last.memory_kib - first.memory_kib} KiB")
    if last.descriptors - first.descriptors > CLIENTS_DESCRIPTORS:
        found.append(f"descriptors went from {first.descriptors} to {last.descriptors}")
    if last.threads > first.threads:
        found.append(f"threads went from {first.threads} to {last.threads}")
    if max(first.processes, last.processes) > MOST_PROCESSES:
        found.append(f"there are {max(first.processes, last.processes)} processes")
    return found


class Asking(threading.Thread):
    """Asks for a prediction again and again; counts what is neither model's answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.stopping = False
        self.asked = 0
        self.failed = 0

    def run(self) -> None:
        while not self.stopping:
            self.asked += 1
            try:
                answer = json.loads(http(self._port, JSON_BODY).body)
                price = answer["outputs"][0]["tensor"][0]["float_data"][0]
                self.failed += price not in PRICES
            except (OSError, EOFError, ValueError, KeyError):
                self.failed += 1


def measure(binary: Path, reloads: int) -> int:
    """Prints the table; gives the exit code."""
    models = [likeness_server.models() / name for name in ("uci_2", "uci")]
    launched = likeness_server.Launched(binary, models[1])
    launched.start()
    launched.process.stop()
    words = [f"-{name}_path=workdir_{launched.port}" for name in ("resource", "workflow")]
    words += [f"-inferservice_path=workdir_{launched.port}"]
    words += ["-inferservice_file=infer_service.prototxt", "-enable_model_toolkit"]
    words += ["-num_threads=4", "-reload_interval_s=0"]
    process = Process(
        "serving",
        [str(binary), *words],
        log=launched.folder / "serving.log",
        cwd=launched.folder,
        env={**os.environ},
    )
    asking = Asking(launched.port)
    print(f"binary: {binary}")
    print(
        f"{'reloads':>8} {'own KiB':>9} {'descriptors':>12} {'threads':>8} {'processes':>10}"
        f" {'failed':>7}"
    )
    try:
        process.start()
        waits.wait_for(lambda: is_listening(launched.port), "the server", 30, alive=process.check)
        asking.start()
        pid = process.pids[0]
        steps = max(1, reloads // 10)
        seen: list[Resources] = []
        start = time.monotonic()
        for number in range(1, reloads + 1):
            launched.reload(models[number % 2], deadline_s=30)
            if number % steps == 0:
                now = settled(pid)
                seen.append(now)
                print(
                    f"{number:8d} {now.memory_kib:9d} {now.descriptors:12d} {now.threads:8d}"
                    f" {now.processes:10d} {asking.failed:7d}",
                    flush=True,
                )
        took = time.monotonic() - start
    finally:
        asking.stopping = True
        process.stop()
        launched.stop()
    first, last = comparable(seen)
    growth = last.memory_kib - first.memory_kib
    print(f"grew by {growth} KiB; {asking.asked} requests, {asking.failed} failed; {took:.0f} s")
    # Any look may show too many processes.
    wrong = [sentence for one in seen for sentence in kept(one, one)] + kept(first, last)
    if asking.failed:
        wrong.append(f"{asking.failed} requests failed")
    for sentence in dict.fromkeys(wrong):
        print(f"FAILED: {sentence}")
    return 1 if wrong else 0


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.engine_reloads", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--binary", help="serving binary (default: SERVING_BIN or the engine)")
    options.add_argument("--reloads", type=int, default=1000, help="how many (1000)")
    given = options.parse_args()
    try:
        return measure(likeness_server.binary(given.binary), max(1, given.reloads))
    except HarnessError as error:
        print(f"bench.engine_reloads: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
