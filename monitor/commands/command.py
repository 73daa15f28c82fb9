"""What a command is made of."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Callable

from ..live.layout import Layout


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        meaning: What the command does, for ``--help``.
        run: Carries the command out, and returns the exit code.
        add_options: Adds the command's own options to the parser.
        operand: What the word after the command's name is; empty if there is none.
    """

    meaning: str
    run: Callable[[Layout, argparse.Namespace], int]
    add_options: Callable[[argparse.ArgumentParser], None] = lambda _: None
    operand: str = ""
