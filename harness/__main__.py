# PYTHON_ARGCOMPLETE_OK
"""The harness's command line: ``python -m harness COMMAND``.

Exit codes:

- 0: all claims hold
- 1: a claim is broken
- 2: bad input or a missing prerequisite
- 3: a claim cannot be judged, and none is broken
- 130: Ctrl-C or SIGTERM

An error is one sentence on standard error. With ``--debug`` the traceback comes first.
"""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Optional

from . import __version__
from .support import places
from .support.errors import HarnessError, interrupted
from .support.parser import Parser, complete, words_to_complete

if TYPE_CHECKING:
    from rich.console import Console


_EXAMPLE = """\
example: python -m harness e2e --remotes ftp --releases 3
         python -m harness e2e --help
"""
_EPILOG = """\
exit codes: 0 all claims hold, 1 a claim is broken, 2 bad input or a missing
part, 3 a claim cannot be judged, 130 Ctrl-C
"""


def _parser() -> argparse.ArgumentParser:
    from .cli import by_hand, compose, runs
    from .remotes.registry import NAMES

    parser = Parser(
        prog="python -m harness",
        description="Runs and judges hot loading of Paddle Serving, end to end.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        common=(*("e2e", "run", "check", "report", "demo", "up", "conformance", "doctor"),),
        example=_EXAMPLE,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    common = ("--remotes", "--on", "--serving", "--releases", "--rate", "--fail-fast", "--runs")
    runs.add_options(
        commands.add_parser(
            "e2e",
            help="run the scenario page, as `make e2e` does",
            description="Runs the scenario page on each remote; prints a table and a verdict.",
            common=common,
            example="example: python -m harness e2e --remotes ftp,http --releases 10",
        )
    )
    runs.add_options(
        commands.add_parser(
            "run",
            help="run a scenario on each remote; print a table and a verdict",
            description="Runs a scenario on each remote; prints a table and a verdict.",
            common=("--monitor-cmd", "--serving-bin", "--remotes", "--releases", "--rate"),
            example="example: python -m harness run burst --remotes ftp \\\n"
            "           --monitor-cmd 'python3 -m my_monitor'",
        ),
        any_scenario=True,
    )
    compose.add_options(
        commands.add_parser(
            "compose", help="run random scenarios until one breaks a claim, and make it smaller"
        )
    )
    listing = commands.add_parser("scenarios", help="list the scenarios and their promises")
    listing.add_argument(
        "--page", type=Path, help="write the page docs/scenarios.md to this file instead"
    )
    trial = commands.add_parser(
        "serving-trial", help="repeat the trial of the serving binary, which a run does once"
    )
    trial.add_argument(
        "--serving",
        default="auto",
        choices=("auto", "official", "embedded"),
        help="official (auto is the same here) or embedded; SERVING_BIN has priority (%(default)s)",
    )
    trial.add_argument(
        "--device",
        default="cpu",
        choices=("cpu", "gpu"),
        help="where the server computes (%(default)s)",
    )
    bundle = commands.add_parser("bundle", help="pack the evidence of a run into one file")
    bundle.add_argument("run", type=Path, help="the run's folder, such as runs/latest")
    bundle.add_argument(
        "--output", type=Path, help="the new file (NAME.tar.zst in the current folder)"
    )
    setup = commands.add_parser(
        "setup", help="make the patched client and fetch what the remotes need, once"
    )
    setup.add_argument(
        "--remotes",
        default=",".join(NAMES),
        help="the remotes to set up; hdfs needs Hadoop's jars (%(default)s)",
    )
    check = commands.add_parser("check", help="judge the history of a run that has ended")
    check.add_argument(
        "histories",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="history.jsonl, history.jsonl.zst, a run folder or a bundle; several are one history",
    )
    report = commands.add_parser(
        "report", help="make the pages of a run again: HTML, SVG, Markdown"
    )
    report.add_argument("run", type=Path, help="a run folder, a bundle or a history")
    report.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where the pages go (the run folder)"
    )
    merge = commands.add_parser(
        "merge", help="put the histories of a run and of other machines on one clock"
    )
    merge.add_argument(
        "histories",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="the history of the run, and the history of each worker on another machine",
    )
    merge.add_argument("--output", type=Path, required=True, metavar="FILE", help="the new file")
    by_hand.add_commands(commands)
    commands.add_parser("doctor", help="print what this machine has and what is missing")
    commands.add_parser(
        "conformance",
        help="judge a monitor; `conformance serving` judges a server",
        add_help=False,
    )
    commands.add_parser(
        "containers", help="build images, keep remotes in containers up, clean up", add_help=False
    )
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="print a traceback with an error")
    return parser


class _Interrupt:
    """Handles SIGINT and SIGTERM in the same way: the first signal stops everything.

    A later SIGTERM does not interrupt the stopping. A later Ctrl-C does. Two SIGTERMs are usual:
    ``make`` forwards a SIGTERM that its process group also got. CI runners send SIGTERM after
    SIGINT.
    """

    def __init__(self) -> None:
        self._came = False

    def __call__(self, signum: int, _frame: Optional[FrameType]) -> None:
        if self._came and signum == signal.SIGTERM:
            return
        self._came = True
        raise KeyboardInterrupt


def main(argv: Optional[list[str]] = None) -> int:
    """Run one command. Return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    interrupt = _Interrupt()
    signal.signal(signal.SIGTERM, interrupt)
    # A shell's background job ignores the signal; keep it ignored.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    try:
        return _run(words)
    except HarnessError as error:
        if "--debug" in words:
            traceback.print_exc()
        print(f"harness: {error}", file=sys.stderr)
        return error.exit_code
    except ImportError as error:
        # A package was removed from the environment, or another Python runs this.
        if "--debug" in words:
            traceback.print_exc()
        print(
            f"harness: {error}; use .venv/bin/python; if it lacks the package, remove .venv and "
            f"run `make setup`; {places.DOCTOR}",
            file=sys.stderr,
        )
        return 2
    except OSError as error:
        # Such as a full disk or an unreadable folder: say what failed, without a traceback.
        if "--debug" in words:
            traceback.print_exc()
        said = str(error.strerror or error)
        if error.filename:
            said += f": {error.filename}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            if error.filename:
                said += f" ({places.size(places.free_bytes(str(error.filename)))} free)"
            said += "; make room, or name folders on another disk in RUNS, HARNESS_CACHE or TMPDIR"
        print(f"harness: {said}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("harness: interrupted; everything it started is stopped", file=sys.stderr)
        return interrupted()


def _console() -> Console:
    from rich.console import Console

    # Not a terminal but a log: do not fold lines at 80 columns.
    return Console() if sys.stdout.isatty() else Console(width=140)


def _run(words: list[str]) -> int:
    begin = words_to_complete() or words
    if begin[:1] == ["conformance"]:
        if begin[1:2] == ["serving"]:
            from .conformance.serving.__main__ import main as judge_serving

            return judge_serving(words[2:])
        from .conformance.monitor.cli import main as conformance

        return conformance(words[2:] if words[1:2] == ["monitor"] else words[1:])
    if begin[:1] == ["containers"]:
        from .cli.containers import main as containers

        return containers(words[1:])
    from .cli import by_hand

    parser = _parser()
    complete(parser)
    args = parser.parse_args(words)
    if args.command in ("e2e", "run"):
        from .cli import runs

        return runs.run(args, _console())
    if args.command == "compose":
        from .cli import compose

        return compose.run(args, _console())
    if args.command in (*by_hand.COMMANDS, by_hand.SUPERVISE):
        return by_hand.run(args, _console())
    if args.command == "scenarios":
        from .cli import runs

        return runs.show(args.page)
    if args.command == "serving-trial":
        from .serving.choice import choose

        serving = "official" if args.serving == "auto" else args.serving
        print(choose(serving, args.device, lambda text: print(text, flush=True), "again"))
        return 0
    if args.command == "bundle":
        from .cli import bundle

        return bundle.main(args.run, args.output)
    if args.command == "setup":
        from .cli.environment import setup

        return setup(args.remotes)
    if args.command == "check":
        from .cli.check import check

        return check(args.histories, _console())
    if args.command == "report":
        from .cli.report import report

        return report(args.run, args.output)
    if args.command == "merge":
        from .cli.merge import merge

        return merge(args.histories, args.output, _console())
    if args.command == "doctor":
        from .cli import doctor

        return doctor.main("gpu" if Path(sys.prefix).name == ".venv-gpu" else "whole")
    parser.print_help()
    return 2


if __name__ == "__main__":
    sys.exit(main())
