"""``python -m harness compose``: runs random scenarios until one fails."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from harness.support.errors import BadInput, Failed
from harness.support.process import Process

if TYPE_CHECKING:
    from rich.console import Console

_BROKEN, _UNKNOWN = 1, 3
# How long a run may take to stop its parts, in seconds.
_GRACE_S = 20.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    option = parser.add_argument
    option(
        "--seed", type=int, default=1, help="seed of the scenarios and the training (%(default)s)"
    )
    option("--remotes", default="http", help="the remotes of each run (%(default)s)")
    option("--serving", default="embedded", help="the serving binary, as for run (%(default)s)")
    option("--monitor-cmd", help="the monitor's command, as for run (this project's monitor)")
    option("--tries", type=int, default=40, help="largest number of runs (%(default)s)")
    option("--minutes", type=float, default=30.0, help="largest number of minutes (%(default)s)")
    option(
        "--runs",
        type=Path,
        default=Path("runs"),
        help="the folder of the run folders (%(default)s)",
    )
    option(
        "--into",
        type=Path,
        default=Path("runs/composed.toml"),
        help="the file for the smallest scenario that fails (%(default)s)",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run random scenarios. Return 0 if no scenario fails.

    Raises:
        BadInput: A run cannot start here.
        Failed: Two of three runs of a scenario were not valid; the text names the file.
    """
    from harness.scenarios import scenario
    from harness.scenarios.compose import Budget, compose

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    if args.tries < 1 or args.minutes <= 0:
        raise BadInput(
            f"--tries {args.tries} --minutes {args.minutes:g} allows no run; use larger numbers"
        )
    args.into.parent.mkdir(parents=True, exist_ok=True)
    candidate = args.into.with_suffix(".candidate.toml")
    log = args.into.with_suffix(".log")
    words = [sys.executable, "-m", "harness", "run", str(candidate), "--remotes", args.remotes]
    words += ["--serving", args.serving, "--seed", str(args.seed), "--runs", str(args.runs)]
    words += ["--monitor-cmd", args.monitor_cmd] if args.monitor_cmd else []

    def breaks(text: str) -> bool:
        candidate.write_text(text, encoding="utf-8")
        longest_s = scenario.read(str(candidate)).longest_s * len(args.remotes.split(","))
        limit_s = min(longest_s, budget.left_s)
        code = ended(words, log, limit_s)
        if code is None:
            say(f"a run did not end within {limit_s:.0f} s, and was stopped")
            # A run that was stopped because compose's own time was over proves nothing.
            return limit_s == longest_s
        if code not in (0, _BROKEN, _UNKNOWN):
            raise BadInput(f"`{' '.join(words)}` ended with exit code {code}; {log} says why")
        # A part that ends by itself cuts a run short, so its claims are unknown.
        return code != 0

    budget = Budget(args.tries, 60 * args.minutes)
    found = compose(breaks, args.seed, budget, say)
    candidate.unlink(missing_ok=True)
    if found is None:
        say(f"seed {args.seed}: no scenario failed in {budget.used} runs")
        return 0
    args.into.write_text(found, encoding="utf-8")
    raise Failed(f"seed {args.seed}: a scenario fails; {args.into} is the smallest one found")


def ended(words: Sequence[str], log: Path, limit_s: float) -> Optional[int]:
    """Run a command and return its exit code; None if it was stopped after ``limit_s`` seconds.

    The command's output is added to ``log``.
    """
    with Process("the run", words, log=log) as process:
        try:
            return process.wait(limit_s)
        except Failed:
            return None
        finally:
            # Signal only the run, which ends its parts in order. The guard would end all parts at
            # once, and the run would wait for the answers of a dead server.
            with contextlib.suppress(Failed, ProcessLookupError):
                process.signal(signal.SIGTERM)
                process.wait(_GRACE_S)
