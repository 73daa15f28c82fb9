"""One process of load with Paddle Serving's compiled client; started by the bench.

    python bench/engine/client_load.py CLIENT_CONF HOST:PORT SECONDS OUT PRICE

waits for a line on standard input, loads, and writes the latencies in seconds into OUT (numpy). It
prints the number of failed requests and the first failure. An answer that is not PRICE has failed.
The compiled client reads ``sys.argv`` itself, so it wants a file and not ``-c``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from harness.conformance.serving.asking import connected

# uci_housing's 13 features, all 1: the model of models.py answers with the sum of 1 to 13 plus 1.
FEATURES = np.ones(13, "float32")


def compiled(configuration: str, endpoint: str) -> Callable[[], Any]:
    """Return a call of the compiled client."""
    client = connected(configuration, endpoint)

    def call() -> Any:
        answer = client.predict(feed={"x": FEATURES}, fetch=["price"], batch=False)
        return None if answer is None else answer["price"][0][0]

    return call


def main() -> int:
    configuration, endpoint, seconds, out, price = sys.argv[1:]
    call = compiled(configuration, endpoint)
    call()
    expected = float(price)
    print("ready", flush=True)
    sys.stdin.readline()
    latencies = []
    failed = 0
    first_failure = ""
    clock = time.perf_counter
    end = clock() + float(seconds)
    before = clock()
    while before < end:
        try:
            answer = call()
        except Exception as error:
            answer = None
            first_failure = first_failure or repr(error)[:300]
        now = clock()
        latencies.append(now - before)
        if answer is None or answer != expected:
            failed += 1
            first_failure = first_failure or f"{answer} instead of {expected}"
        before = clock()
    np.save(out, np.array(latencies))
    print(failed, first_failure, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
