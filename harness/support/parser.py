"""The argument parser of the harness's commands."""

from __future__ import annotations

import argparse
import os
import re
import textwrap
from collections.abc import Set as AbstractSet
from typing import NoReturn

from monitor.options.short_help import FIRST_CLAUSE, ShortHelpParser

from .errors import BadInput

# Plain words for the names of Python types in argparse's messages.
_NUMBERS = {"int": "whole number", "float": "number"}


class Parser(ShortHelpParser):
    """Raises ``BadInput`` for a wrong option; ``--help`` fits on one screen."""

    def error(self, message: str) -> NoReturn:
        for kind, said in _NUMBERS.items():
            message = re.sub(rf"invalid {kind} value: (.*)", rf"\1 is no {said}", message)
        raise BadInput(f"{message}; see {self.prog} --help")

    def shorten(self, shown: AbstractSet[str]) -> None:
        """Keep the common options and commands, with the first clause of their help."""
        for action in self._actions:
            if action.option_strings and shown.isdisjoint(action.option_strings):
                action.help = argparse.SUPPRESS
            elif isinstance(action, argparse._SubParsersAction):
                commands = [one for one in action._choices_actions if one.dest in shown]
                action._choices_actions = commands
            else:
                action.help = FIRST_CLAUSE.split(action.help or "")[0]
        first = (self.description or "").split("\n\n")[0]
        self.description = textwrap.fill(first, 78)
        words = [part.metavar or part.dest for part in self._actions if not part.option_strings]
        self.usage = " ".join(["%(prog)s [OPTION …]", *map(str, words)])
        self.formatter_class = argparse.RawDescriptionHelpFormatter


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
