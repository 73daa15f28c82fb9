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
from pathlib import Path
from typing import NamedTuple, Optional

from harness.errors import BadInput, HarnessError, interrupted
from harness.paths import repository_root
from harness.waits import tail

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
    seconds: Optional[float]
    log: Optional[Path]


def main() -> int:
    arguments = _parser().parse_args()
    # A kill ends the trial as Ctrl-C does: the machines are removed.
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
    return 1 if any(row.outcome.startswith("FAILED") for row in rows) else 0


def _machine(suite: str, commands: list[str], logs: Path, deadline_s: float) -> list[Row]:
    system = roots.SYSTEMS[suite]

    def say(words: str) -> None:
        print(f"test-bare: {system}: {words}", flush=True)

    begin = time.monotonic()
    try:
        tarball = roots.tarball(suite, say)
    except roots.NotHere as error:
        say(f"not tried: {error}")
        return [Row(system, "", f"not tried: {error}", None, None)]
    rows = []
    with Workplace(suite) as folder:
        machine = Machine(folder, tarball)
        say(f"ready in {time.monotonic() - begin:.0f} s, with {machine.python}")
        for number, command in enumerate(commands, 1):
            log = logs / f"{suite}-{number}.log"
            rows.append(_command(system, machine, command, log, deadline_s))
            say(f"`{command}`: {rows[-1].outcome} ({rows[-1].seconds:.0f} s), {log}")
            machine.fetch("outcomes.json", logs / f"{suite}-outcomes.json")
            if rows[-1].outcome.startswith("FAILED"):
                print(tail(log, 60), flush=True)
    return rows


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
    """What pytest or the demo say at their end."""
    text = log.read_text(errors="replace")
    found = re.findall(r"^=+ (.*\d+ (?:passed|failed).*?) in .*=+$", text, re.MULTILINE)
    found += re.findall(r"^((?:VALID|INVALID|UNKNOWN): .*)$", text, re.MULTILINE)
    return str(found[-1]) if found else ""


def _table(rows: list[Row]) -> str:
    cells = [("system", "command", "seconds", "outcome")]
    for row in rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        cells.append((row.system, row.command, seconds, row.outcome))
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, line[:3], widths), line[3]]).rstrip() for line in cells]
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
