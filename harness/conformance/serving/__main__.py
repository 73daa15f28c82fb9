"""Holds a serving binary against what was measured on the real Paddle Serving 0.9.0.

    python -m harness.conformance.serving                       the embedded engine (or SERVING_BIN)
    python -m harness.conformance.serving --serving-bin PATH    any other
    python -m harness.conformance.serving --only reload         facts by id, group or pattern

Prints a table with a line for each fact:

- ``same``
- ``better``: the engine's README names the difference
- ``unknown``: it says what is missing to tell
- ``DIFFERS``: it says what was seen

Exit code 1 when a fact differs, else 3 when one is unknown, else 0; 2 for bad input.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter

from harness.conformance.selection import selected
from harness.support.errors import HarnessError

from . import server
from .checks import Missing, Subject
from .facts import FACTS, Fact


def judge(fact: Fact, subject: Subject) -> tuple[str, str]:
    """``same``, ``better``, ``unknown`` or ``DIFFERS``, and what was seen."""
    if subject.ended:
        # Why the server ended was an earlier check's question.
        subject.close()
    try:
        better = fact.check(subject)
    except Missing as error:
        return "unknown", str(error)
    except Exception as error:
        # Every error of a check comes from the server, such as bytes that no client could read.
        return "DIFFERS", f"{type(error).__name__}: {error}"
    # The real server may die where a stand-in may do better.
    if (better or not fact.better) and subject.ended:
        return "DIFFERS", "the server has ended"
    return ("better", fact.better) if better else ("same", "")


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
    options.add_argument(
        "--only", default="", metavar="IDS", help="ids, groups or patterns, separated by commas"
    )
    options.add_argument("--list", action="store_true", help="print every fact with its id")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: Counter[str] = Counter()
    started = time.monotonic()
    try:
        wanted = selected([fact.id for fact in FACTS], given.only)
        chosen = [fact for fact in FACTS if fact.id in wanted]
        if given.list:
            print("\n".join(f"{fact.id}\n    {fact.sentence}" for fact in chosen))
            return 0
        subject = Subject(server.binary(given.serving_bin))
        print(f"binary: {subject.binary}\n")
        try:
            for fact in chosen:
                verdict, seen = judge(fact, subject)
                found[verdict] += 1
                print(f"{verdict:8} {fact.id:30} {fact.sentence}", flush=True)
                if seen:
                    print(f"{'':8} {'':30} -> {seen}", flush=True)
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
