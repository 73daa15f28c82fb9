"""The command line of the suite: ``python -m harness conformance --monitor-cmd '…'``.

Exit codes: 0 every claim holds (or fails as expected), 1 a claim failed (or an expected failure
did not), 2 bad input, 3 something is unknown.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Optional

from ..errors import BadInput, HarnessError
from .command import words_of
from .judge import FAILED, UNKNOWN
from .places import PLACES
from .releases import trained_releases
from .scenarios import all_scenarios
from .scenarios.base import Scenario
from .stage import Settings
from .suite import Result, run_place


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see python -m harness conformance --help")


def main(argv: Sequence[str]) -> int:
    """Runs the suite; gives the exit code."""
    try:
        return _run(_parser().parse_args(argv))
    except HarnessError as error:
        if "--debug" in argv:
            traceback.print_exc()
        print(f"conformance: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m harness conformance", description=__doc__)
    parser.add_argument("--monitor-cmd", required=True)
    parser.add_argument("--remotes", default="http")
    parser.add_argument("--scenarios", default="")
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--cache", type=Path, default=Path(".cache/conformance/releases"))
    parser.add_argument("--debug", action="store_true")
    return parser


def _run(options: argparse.Namespace) -> int:
    words_of(options.monitor_cmd)
    settings = Settings(options.monitor_cmd, interval=options.interval)
    scenarios: list[Scenario] = all_scenarios()
    if options.scenarios:
        wanted = options.scenarios.split(",")
        scenarios = [s for s in scenarios if s.name in wanted]
    releases = trained_releases(options.cache)
    folder: Path = (options.run or Path("runs") / f"conformance-{int(time.time())}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for name in options.remotes.split(","):
        with PLACES[name](folder / name) as place:
            results += run_place(scenarios, place, releases, settings, folder, _tell)
    if any(not r.fine and r.verdict.word == FAILED for r in results):
        return 1
    return 3 if any(r.verdict.word == UNKNOWN for r in results) else 0


def _tell(result: Result) -> None:
    print(f"{result.verdict.word:8} {result.place:8} {result.scenario:28} "
          f"{result.seconds:5.1f} s  {result.verdict.evidence}", flush=True)
