"""A parser whose ``--help`` fits on one screen. The harness's own parser extends it."""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Any, Optional

# Ends at a semicolon that is not in parentheses.
FIRST_CLAUSE = re.compile(r"; (?![^(]*\))")


class ShortHelpParser(argparse.ArgumentParser):
    """A parser with a short ``--help`` and a long ``--help-all``.

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
        self.common, self.example = common, example
        if common is not None:
            self.add_argument(
                "--help-all",
                action=_HelpAll,
                nargs=0,
                default=argparse.SUPPRESS,
                help="print all options",
            )

    def format_help(self) -> str:
        """Return the text of ``--help``."""
        if self.common is None:
            return super().format_help()
        short = copy.deepcopy(self)
        short.epilog = self.example
        short.shorten({"--help", "--help-all", "--version", *self.common})
        return super(ShortHelpParser, short).format_help()

    def shorten(self, shown: AbstractSet[str]) -> None:
        """Reduce this copy of the parser to what ``--help`` shows of it."""
        raise NotImplementedError


class _HelpAll(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(argparse.ArgumentParser.format_help(parser), end="")
        parser.exit()
