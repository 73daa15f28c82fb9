"""Judges serving binaries: the promises that every server should keep, or the measured facts.

    python -m harness conformance serving                       the embedded engine (or SERVING_BIN)
    python -m harness conformance serving --serving-bin PATH    any other; repeat it for several
    python -m harness conformance serving --only answers        some of the promises
    python -m harness conformance serving --facts               compare with Paddle Serving 0.9.0

Prints a line for each promise: ``kept``, ``BROKEN`` with what was seen, or ``unknown`` with what is
missing to tell. A promise is unknown, too, if the suite itself failed. For a fact:

- ``same``
- ``better``: the engine's README names the difference
- ``unknown``: it says what is missing to tell
- ``DIFFERS``: it says what was seen

Exit code 1 when a promise is broken or a fact differs, else 3 when one is unknown, else 0; 2 for
bad input.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from harness.conformance.options import (
    add_options,
    finish,
    keep,
    prepare,
    read,
    run_folder,
    write,
)
from harness.conformance.results import CaseResult, Column, Run, Suite, counts, verdict
from harness.conformance.selection import selected
from harness.support.errors import HarnessError
from harness.support.parser import Parser, complete
from harness.support.progress import Progress

from . import judging, report, server
from .checks import Subject
from .facts import FACTS
from .promises import PROMISES, page

_Judge = Callable[[Any, Subject], CaseResult]


class _Catalogue(NamedTuple):
    """The cases of one kind, how one is judged, and how a run is written down."""

    what: str
    cases: Sequence[Any]
    judge: _Judge
    suite: Suite


_FACTS = _Catalogue("facts", FACTS, judging.fact, report.SUITE)
_PROMISES = _Catalogue("promises", PROMISES, judging.promise, page.SUITE)


def _judged(binary: Path, judge: _Judge, cases: Sequence[Any], logs: Path) -> Iterator[CaseResult]:
    """Look at each case, print a line for it, and keep its logs in the folder ``logs``."""
    print(f"binary: {binary}\n")
    subject = Subject(binary)
    try:
        with Progress("cases", len(cases)) as progress:
            for case in cases:
                kept = logs / case.id.replace("/", "-")
                with subject.keep_logs(kept):
                    result = judge(case, subject)
                print(f"{result.word:8} {case.id:30} {case.sentence}", flush=True)
                if result.reasons or result.known:
                    print(f"{'':8} {'':30} -> {result.evidence or result.known}", flush=True)
                progress.done()
                yield replace(result, folder=f"{logs.name}/{kept.name}" if kept.exists() else "")
    finally:
        subject.close()


def _binaries(given: Sequence[str], folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Return the name, the command and the program of each ``--serving-bin``.

    The launcher starts a program without options. So a path with options behind it becomes a
    script in ``folder``.
    """
    for command in given or [""]:
        path, *options = shlex.split(command) or [""]
        program = server.binary(path)
        if options:
            script = folder / f"serving-{len(list(folder.glob('serving-*'))) + 1}"
            script.write_text(
                f'#!/bin/sh\nexec {shlex.quote(str(program))} "$@" {shlex.join(options)}\n'
            )
            script.chmod(0o755)
            yield " ".join((program.name, *options)), command, script
        else:
            yield program.name, command or str(program), program


def _parser() -> Parser:
    parser = Parser(
        prog="python -m harness conformance serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        common=("--serving-bin", "--facts", "--only", "--list", "--html", "--junit", "--results"),
        example="example: python -m harness conformance serving \\\n"
        "           --serving-bin /path/to/serving --only rule/newer-second",
    )
    parser.add_argument(
        "--serving-bin",
        "--binary",
        metavar="PATH",
        action="append",
        help="serving binary, with options of its own behind it if need be; may be repeated "
        "(default: SERVING_BIN or the embedded engine)",
    )
    parser.add_argument(
        "--facts", action="store_true", help="compare with the facts of Paddle Serving 0.9.0"
    )
    parser.add_argument("--list", action="store_true", help="print every case with its id")
    add_options(parser)
    return parser


def _run(options: argparse.Namespace) -> int:
    catalogue = _FACTS if options.facts else _PROMISES
    wanted = selected([case.id for case in catalogue.cases], options.only)
    cases = [case for case in catalogue.cases if case.id in wanted]
    if options.list:
        print("\n".join(f"{case.id}\n    {case.sentence}" for case in cases))
        return 0
    if options.results:
        found = read(options, catalogue.suite)
        prepare(options)
        write(options, found, catalogue.suite, options.results.parent)
        return verdict(found.results).exit_code
    prepare(options)
    folder = run_folder(options, "serving")
    binaries = list(_binaries(options.serving_bin, folder))
    began = time.monotonic()
    columns: list[Column] = []
    about: dict[str, object] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "part": f"--only {options.only}" if options.only else "",
    }
    found = Run(about, columns)
    try:
        for number, (name, command, binary) in enumerate(binaries):
            results: list[CaseResult] = []
            about_it = {"name": name, "command": command, "binary": str(binary)}
            columns.append(Column(about_it, results))
            results += _judged(binary, catalogue.judge, cases, folder / str(number))
    finally:
        about["seconds"] = round(time.monotonic() - began)
        keep(folder, found, catalogue.suite)
    finish(folder, found)
    write(options, found, catalogue.suite, folder)
    said = counts(found.results, catalogue.suite.words)
    print(f"\n{len(found.results)} {catalogue.what}: {said}; {about['seconds']} s")
    return verdict(found.results).exit_code


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the suite; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        parser = _parser()
        complete(parser, skipped=2)
        return _run(parser.parse_args(argv))
    except HarnessError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
