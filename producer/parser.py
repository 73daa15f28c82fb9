"""The argument parser of the producer's commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

from .errors import BadInput


class Parser(argparse.ArgumentParser):
    """Raises ``BadInput`` for a wrong option."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")
