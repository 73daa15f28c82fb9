"""The command line of the trial on bare machines."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Optional

from harness.support.errors import BadInput, Failed, HarnessError, interrupted
from harness.support.paths import repository_root

from . import roots
from .machine import HOME, Machine
from .workplace import Workplace

COMMANDS = ("make e2e", "make test")
_TOOLS = ("unshare", "setpriv", "mount", "chroot", "tar", "git", "ldd")


class Row(NamedTuple):
    """One line of the table."""

    system: str
    command: str
    outcome: str
    seconds: float = 0
    log: Optional[Path] = None


def main() -> int:
    arguments = _parser().parse_args()
    # SIGTERM ends the trial like Ctrl-C, so that the machines are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _trial(arguments.roots, arguments.commands, arguments.deadline)
    except HarnessError as error:
        print(f"test-bare: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("test-bare: interrupted; the machine is removed", file=sys.stderr)
        return interrupted()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bare",
        description="Runs the README's two commands on bare machines, as an ordinary user.",
    )
    parser.add_argument(
        "--roots",
        type=_suites,
        default=list(roots.SYSTEMS),
        help=f"which systems, separated by commas (default: {','.join(roots.SYSTEMS)})",
    )
    parser.add_argument(
        "--commands",
        nargs="+",
        default=list(COMMANDS),
        metavar="COMMAND",
        help=f"what to run in each, one after the other (default: {', '.join(COMMANDS)})",
    )
    parser.add_argument(
        "--deadline", type=float, default=2400, metavar="S", help="for one command (default: 2400)"
    )
    return parser


def _suites(text: str) -> list[str]:
    suites = text.split(",")
    for suite in suites:
        if suite not in roots.SYSTEMS:
            known = ", ".join(roots.SYSTEMS)
            raise argparse.ArgumentTypeError(f"there is no {suite!r}; known are {known}")
    return suites


def _trial(suites: list[str], commands: list[str], deadline_s: float) -> int:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise BadInput(f"{', '.join(missing)} is not installed (packages util-linux, tar, git)")
    if os.geteuid() != 0:
        raise BadInput(
            "the trial makes roots with debootstrap, which needs root: sudo make test-bare"
        )
    now = datetime.datetime.now(datetime.timezone.utc)
    logs = repository_root() / "runs" / f"bare-{now:%Y%m%dT%H%M%SZ}"
    logs.mkdir(parents=True)
    latest = logs.with_name("bare-latest")
    latest.unlink(missing_ok=True)
    latest.symlink_to(logs.name)
    rows: list[Row] = []
    for suite in suites:
        rows += _machine(suite, commands, logs, deadline_s)
    print(_table(rows))
    print(f"logs: {logs}")
    if all(row.outcome.startswith("not tried") for row in rows):
        raise BadInput("no machine could be tried; the table says why")
    return 1 if any(row.outcome.startswith("FAILED") for row in rows) else 0


def _machine(suite: str, commands: list[str], logs: Path, deadline_s: float) -> list[Row]:
    system = roots.SYSTEMS[suite]

    def say(words: str) -> None:
        print(f"test-bare: {system}: {words}", flush=True)

    rows: list[Row] = []
    try:
        for row in _rows(suite, commands, logs, deadline_s, say):
            rows.append(row)
            say(f"`{row.command}`: {row.outcome} ({row.seconds:.0f} s), {row.log}")
            if row.log is not None and row.outcome.startswith("FAILED"):
                print(_end_of(row.log), flush=True)
    except (roots.NotHere, Failed) as error:
        word = "FAILED" if isinstance(error, Failed) else "not tried"
        say(f"{word}: {error}")
        rows.append(Row(system, "", f"{word}: {' '.join(str(error).split())}"))
    return rows


def _rows(
    suite: str, commands: list[str], logs: Path, deadline_s: float, say: Callable[[str], None]
) -> Iterator[Row]:
    begin = time.monotonic()
    tarball = roots.tarball(suite, say)
    with Workplace(suite) as folder:
        machine = Machine(folder, tarball)
        say(f"ready in {time.monotonic() - begin:.0f} s, with {machine.python}")
        for number, command in enumerate(commands, 1):
            log = logs / f"{suite}-{number}.log"
            row = _command(roots.SYSTEMS[suite], machine, command, log, deadline_s)
            machine.fetch("outcomes.json", logs / f"{suite}-outcomes.json")
            yield row


def _end_of(log: Path) -> str:
    """Return the end of a failed command's log, from pytest's failures if it has any."""
    text = log.read_text(errors="replace")
    lines = text[max(0, text.rfind("= FAILURES =")) :].splitlines()
    # pytest's list of skipped tests does not explain a failure.
    return "\n".join([line for line in lines if not line.startswith("SKIPPED")][-400:])


def _command(system: str, machine: Machine, command: str, log: Path, deadline_s: float) -> Row:
    words = command
    if command == "make test":
        words += f" PYTEST='-p tests.bare.outcomes --outcomes {HOME}/outcomes.json'"
    begin = time.monotonic()
    code = machine.run(words, log, deadline_s)
    seconds = time.monotonic() - begin
    summary = _summary(log)
    if code is None:
        outcome = f"FAILED: still running after {deadline_s:.0f} s"
    else:
        outcome = "ok" if code == 0 else f"FAILED: exit code {code}"
    return Row(system, command, outcome + (f", {summary}" if summary else ""), seconds, log)


def _summary(log: Path) -> str:
    """Return the last line of pytest or of the demo."""
    text = log.read_text(errors="replace")
    found = re.findall(r"^=+ (.*\d+ (?:passed|failed).*?) in .*=+$", text, re.MULTILINE)
    found += re.findall(r"^((?:VALID|INVALID|UNKNOWN): .*)$", text, re.MULTILINE)
    return str(found[-1]) if found else ""


def _table(rows: list[Row]) -> str:
    cells = [("system", "command", "seconds", "outcome")]
    for row in rows:
        seconds = f"{row.seconds:.0f}" if row.log else ""
        cells.append((row.system, row.command, seconds, row.outcome))
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, line[:3], widths), line[3]]).rstrip() for line in cells]
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
