"""Holds serving binaries against what was measured on the real Paddle Serving 0.9.0.

    python -m harness.conformance.serving                       the embedded engine (or SERVING_BIN)
    python -m harness.conformance.serving --serving-bin PATH    any other; repeat it for several
    python -m harness.conformance.serving --only reload         some of the facts

Prints a line for each fact:

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
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.conformance.options import add_options, keep, read, run_folder, write
from harness.conformance.results import CaseResult, Column, Run, counts, junit_xml, verdict
from harness.conformance.selection import selected
from harness.support.errors import HarnessError
from harness.support.parser import Parser

from . import server
from .checks import Missing, Subject
from .facts import FACTS, Fact
from .report import SUITE, WORDS


def judge(fact: Fact, subject: Subject) -> CaseResult:
    """Look at one fact."""
    began = time.monotonic()
    word, reason = _look(fact, subject)
    return CaseResult(
        fact.id,
        word,
        WORDS[word].outcome,
        (reason,) if reason else (),
        fact.better if word == "better" else "",
        time.monotonic() - began,
    )


def _look(fact: Fact, subject: Subject) -> tuple[str, str]:
    """Return one of ``WORDS``, and what was seen."""
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
    return ("better" if better else "same"), ""


def _judged(binary: Path, facts: Sequence[Fact]) -> Iterator[CaseResult]:
    """Look at each fact and print a line for it."""
    print(f"binary: {binary}\n")
    subject = Subject(binary)
    try:
        for fact in facts:
            result = judge(fact, subject)
            print(f"{result.word:8} {fact.id:30} {fact.sentence}", flush=True)
            if result.reasons or result.known:
                print(f"{'':8} {'':30} -> {result.evidence or result.known}", flush=True)
            yield result
    finally:
        subject.close()


def _parser() -> Parser:
    parser = Parser(
        prog="python -m harness.conformance.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--serving-bin",
        "--binary",
        metavar="PATH",
        action="append",
        help="serving binary, may be repeated (default: SERVING_BIN or the embedded engine)",
    )
    parser.add_argument("--list", action="store_true", help="print every fact with its id")
    add_options(parser)
    return parser


def _run(options: argparse.Namespace) -> int:
    wanted = selected([fact.id for fact in FACTS], options.only)
    facts = [fact for fact in FACTS if fact.id in wanted]
    if options.list:
        print("\n".join(f"{fact.id}\n    {fact.sentence}" for fact in facts))
        return 0
    if options.results:
        found = read(options, SUITE)
        write(options, found, SUITE)
        return verdict(found.results).exit_code
    binaries = [server.binary(given) for given in options.serving_bin or [None]]
    folder = run_folder(options, "serving")
    began = time.monotonic()
    columns: list[Column] = []
    about: dict[str, object] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "part": f"--only {options.only}" if options.only else "",
    }
    found = Run(about, columns)
    try:
        for binary in binaries:
            results: list[CaseResult] = []
            columns.append(Column({"name": binary.name, "binary": str(binary)}, results))
            results += _judged(binary, facts)
    finally:
        about["seconds"] = round(time.monotonic() - began)
        keep(folder, found, SUITE)
    (folder / "junit.xml").write_text(junit_xml(found), encoding="utf-8")
    write(options, found, SUITE)
    print(f"\n{len(found.results)} facts: {counts(found.results, WORDS)}; {about['seconds']} s")
    return verdict(found.results).exit_code


def main() -> int:
    """Run the suite; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _run(_parser().parse_args())
    except HarnessError as error:
        print(f"harness.conformance.serving: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
