"""The commands: what a person asks of a live directory, monitor running or not."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import BadOption
from ..live.layout import Layout
from ..options.parser import PROGRAM, Parser, build_parser
from . import orders, rollback, status

_COMMANDS = {
    "status": status.STATUS,
    "rollback": rollback.ROLLBACK,
    "hold": orders.HOLD,
    "resume": orders.RESUME,
    "pin": orders.PIN,
    "unpin": orders.UNPIN,
}
NAMES = tuple(_COMMANDS)


def main(words: Sequence[str]) -> int:
    """Run a command. Return the exit code.

    Args:
        words: The command line; the first word is the command's name.

    Raises:
        MonitorError: The command failed.
    """
    name, rest = words[0], list(words[1:])
    command = _COMMANDS[name]
    usage = f"{PROGRAM} {name} {command.operand}".rstrip()
    parser = Parser(prog=usage, description=command.meaning)
    parser.add_argument("--local_path", required=True, help="the folder that holds the model")
    parser.add_argument("--local_model_name", required=True, help="the live directory's name")
    parser.add_argument(
        "--local_timestamp_file", default="fluid_time_file", help="the live directory's time file"
    )
    command.add_options(parser)
    operand = ""
    if command.operand and not {"-h", "--help"} & set(rest):
        # The operand is the first word: later, it could be the value of an option of the monitor.
        if not rest or rest[0].startswith("-"):
            raise BadOption(f"{command.operand} is missing; type `{usage} …`, and the options last")
        operand = rest.pop(0)
    given, others = parser.parse_known_args(rest)
    # A command accepts the monitor's options, so that a person can copy the monitor's command line.
    # Any other word is a mistake: with a misspelt ``--until``, a hold would have no end.
    build_parser().parse_args(others)
    given.operand = operand
    layout = Layout(os.path.normpath(os.path.join(given.local_path, given.local_model_name)))
    if not os.path.isdir(layout.parent):
        raise BadOption(f"{layout.parent} is no folder; check --local_path")
    return command.run(layout, given)
