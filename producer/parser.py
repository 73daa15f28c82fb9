"""The argument parser of the producer's commands."""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Collection
from typing import Any, NoReturn, Optional

from .errors import BadInput

# Ends at a semicolon that is not in parentheses.
_FIRST_CLAUSE = re.compile(r"; (?![^(]*\))")


class Parser(argparse.ArgumentParser):
    """Raises ``BadInput`` for a wrong option; ``--help`` fits on one screen.

    Args:
        common: The options that ``--help`` shows. ``--help-all`` shows the others too. None:
            ``--help`` shows all.
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
            if not shown.intersection(action.option_strings):
                action.help = argparse.SUPPRESS
            else:
                action.help = _FIRST_CLAUSE.split(action.help or "")[0]
        short.usage = "%(prog)s OPTION …"
        short.description = (self.description or "").split("\n\n")[0]
        short.epilog = self._example
        return super(Parser, short).format_help()


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(argparse.ArgumentParser.format_help(parser), end="")
        parser.exit()
