"""Memory over a thousand reloads, while a client asks all the time.

    python -m bench.engine_reloads                  1,000 reloads of the embedded engine
    python -m bench.engine_reloads --reloads 50

The launcher's shortest interval is a second; so the launcher writes its files, and then the
binary is started by hand on them with ``-reload_interval_s 0``. Prints one table: resident memory,
descriptors, threads and failed requests as the reloads go by. Exit code 1 when memory grew by
more than 4 MiB from the hundredth reload (or the tenth part) to the last, or a request failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path

from bench.likeness import server as likeness_server
from bench.likeness.checks import JSON_BODY
from bench.likeness.wire import http
from harness import waits
from harness.errors import HarnessError
from harness.ports import is_listening
from harness.process import Process

MOST_GROWTH_KIB = 4096
PRICES = (92.0, 184.0)


def resources(pid: int) -> tuple[int, int, int]:
    """Resident KiB, open descriptors and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return int(fields["VmRSS"].split()[0]), descriptors, int(fields["Threads"])


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
    print(f"{'reloads':>8} {'RSS KiB':>9} {'descriptors':>12} {'threads':>8} {'failed':>7}")
    try:
        process.start()
        waits.wait_for(lambda: is_listening(launched.port), "the server", 30, alive=process.check)
        asking.start()
        pid = process.pids[0]
        steps = max(1, reloads // 10)
        seen: list[int] = []
        start = time.monotonic()
        for number in range(1, reloads + 1):
            launched.reload(models[number % 2], deadline_s=30)
            # A log of a thousand reloads is long to read again and again.
            if number % 20 == 0:
                os.truncate(launched.log_file(), 0)
            if number % steps == 0:
                resident, descriptors, threads = resources(pid)
                seen.append(resident)
                print(
                    f"{number:8d} {resident:9d} {descriptors:12d} {threads:8d} {asking.failed:7d}",
                    flush=True,
                )
        took = time.monotonic() - start
    finally:
        asking.stopping = True
        process.stop()
        launched.stop()
    growth = seen[-1] - seen[0]
    print(f"grew by {growth} KiB; {asking.asked} requests, {asking.failed} failed; {took:.0f} s")
    return 1 if growth > MOST_GROWTH_KIB or asking.failed else 0


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
