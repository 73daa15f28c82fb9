"""The argument parser of the harness's commands."""

from __future__ import annotations

import argparse
import copy
import os
import re
import textwrap
from collections.abc import Collection
from typing import Any, NoReturn, Optional

from .errors import BadInput

# Ends at a semicolon that is not in parentheses.
_FIRST_CLAUSE = re.compile(r"; (?![^(]*\))")


class Parser(argparse.ArgumentParser):
    """Raises ``BadInput`` for a wrong option; ``--help`` fits on one screen.

    Args:
        common: The options and commands that ``--help`` shows. ``--help-all`` shows the others too.
            None: ``--help`` shows all.
        example: The last lines of ``--help``.
    """

    def __init__(
        self, *, common: Optional[Collection[str]] = None, example: str = "", **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._optionals.title = "options"
        self._common, self._example = common, example
        if common is not None:
            self.add_argument(
                "--help-all",
                action=_HelpAll,
                nargs=0,
                default=argparse.SUPPRESS,
                help="print all options",
            )

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")

    def format_help(self) -> str:
        """Return the text of ``--help``."""
        if self._common is None:
            return super().format_help()
        short = copy.deepcopy(self)
        shown = {"--help", "--help-all", "--version", *self._common}
        for action in short._actions:
            if action.option_strings and not shown.intersection(action.option_strings):
                action.help = argparse.SUPPRESS
            elif isinstance(action, argparse._SubParsersAction):
                commands = [one for one in action._choices_actions if one.dest in shown]
                action._choices_actions = commands
            else:
                action.help = _FIRST_CLAUSE.split(action.help or "")[0]
        first = (self.description or "").split("\n\n")[0]
        short.description = textwrap.fill(first, 78)
        short.epilog = self._example
        words = [part.metavar or part.dest for part in short._actions if not part.option_strings]
        short.usage = " ".join(["%(prog)s [OPTION …]", *map(str, words)])
        short.formatter_class = argparse.RawDescriptionHelpFormatter
        return super(Parser, short).format_help()


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(argparse.ArgumentParser.format_help(parser), end="")
        parser.exit()


def words_to_complete() -> list[str]:
    """Return the words after the program if the shell asks for completions, else an empty list."""
    if "_ARGCOMPLETE" not in os.environ:
        return []
    return os.environ.get("COMP_LINE", "").split()[int(os.environ["_ARGCOMPLETE"]) :]


def complete(parser: argparse.ArgumentParser, skipped: int = 0) -> None:
    """Answer the shell if it asks for completions; otherwise do nothing.

    Args:
        parser: The command's parser.
        skipped: How many words before the options name the command.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    os.environ["_ARGCOMPLETE"] = str(int(os.environ["_ARGCOMPLETE"]) + skipped)
    argcomplete.autocomplete(parser)
