"""Holds a serving binary against what was measured on the real Paddle Serving 0.9.0.

    python -m harness.conformance.serving                       the embedded engine (or SERVING_BIN)
    python -m harness.conformance.serving --serving-bin PATH    any other
    python -m harness.conformance.serving --only reload        facts whose group or text contains it

Prints one table, a line for each fact: ``same``, ``better`` (the difference that the engine's
README names), ``unknown`` with what is missing to tell, or DIFFERS with what was seen. Exit code
1 when a fact differs, else 3 when one is unknown, else 0; 2 for bad input.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter

from harness.support.errors import HarnessError

from . import server
from .checks import Check, Missing, Subject
from .suite import load_all


def judge(one: Check, subject: Subject) -> tuple[str, str]:
    """``same``, ``better``, ``unknown`` or ``DIFFERS``, and what was seen."""
    if subject.ended:
        # Of what it dies was an earlier check's question.
        subject.close()
    try:
        better = one.function(subject)
    except Missing as error:
        return "unknown", str(error)
    except Exception as error:
        # Whatever a check falls over came from the server: bytes that no client could read.
        return "DIFFERS", f"{type(error).__name__}: {error}"
    # What the real server dies of is a fact with a better way.
    if (better or not one.wanted) and subject.ended:
        return "DIFFERS", "the server has ended"
    return ("better", one.wanted) if better else ("same", "")


def main() -> int:
    options = argparse.ArgumentParser(
        prog="python -m harness.conformance.serving", description=__doc__
    )
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument(
        "--serving-bin",
        "--binary",
        metavar="PATH",
        help="serving binary (default: SERVING_BIN or the embedded engine)",
    )
    options.add_argument("--only", default="", help="facts whose group or text contains this")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: Counter[str] = Counter()
    started = time.monotonic()
    try:
        subject = Subject(server.binary(given.serving_bin))
        chosen = [one for one in load_all() if given.only in f"{one.group}: {one.fact}"]
        if not chosen:
            print(f"harness.conformance.serving: --only {given.only} fits no fact", file=sys.stderr)
            return 2
        print(f"binary: {subject.binary}\n")
        try:
            for one in chosen:
                verdict, seen = judge(one, subject)
                found[verdict] += 1
                print(f"{verdict:8} {one.group:12} {one.fact}", flush=True)
                if seen:
                    print(f"{'':8} {'':12} -> {seen}", flush=True)
        finally:
            subject.close()
    except HarnessError as error:
        print(f"harness.conformance.serving: {error}", file=sys.stderr)
        return error.exit_code
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items()))
    print(f"\n{sum(found.values())} facts: {counts}; {time.monotonic() - started:.0f} s")
    if found["DIFFERS"]:
        return 1
    return 3 if found["unknown"] else 0


if __name__ == "__main__":
    sys.exit(main())
