"""The command line, made from the options' fields."""

from __future__ import annotations

import argparse
import re
from dataclasses import MISSING, Field
from typing import Any, NoReturn

from ..errors import BadOption
from ..mask import STARS
from . import values
from .fields import OURS, UPSTREAM, option_fields
from .secrets import Secret

# argparse's sentences that repeat a value which was not meant for the option.
_AMBIGUOUS = re.compile(r"(ambiguous option: -[^=\s]*)=.* could match", re.DOTALL)
_EXPLICIT = re.compile(r"(ignored explicit argument ).*", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """One sentence and exit code 2, without the usage of fifty options."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            # What stands with a misspelt option may be a password.
            names = [word.partition("=")[0] if word.startswith("--") else STARS for word in unknown]
            self.error(f"unrecognized arguments: {' '.join(names)}")
        return given

    def error(self, message: str) -> NoReturn:
        message = _AMBIGUOUS.sub(rf"\1={STARS} could match", message)
        message = _EXPLICIT.sub(rf"\1{STARS}", message)
        raise BadOption(f"{message}; see --help")


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of the monitor."""
    parser = Parser(
        prog="python -m monitor",
        description="Watches a remote for new releases of a model and swaps them into the "
        "directory that Paddle Serving serves from.",
        epilog="Commands: 'python -m monitor status …', rollback, hold, resume, pin and unpin take "
        "--local_path and --local_model_name. 'python -m monitor --config monitors.toml' watches "
        "many models. docs/monitor.md has it all.",
    )
    for origin, title in ((UPSTREAM, "upstream's options"), (OURS, "further options")):
        group = parser.add_argument_group(title)
        for option in option_fields():
            if option.metadata["origin"] != origin:
                continue
            flag, meta = f"--{option.name}", option.metadata
            if meta["parse"] is values.switch:
                group.add_argument(
                    flag, action="store_true", default=None, help=meta["help"].replace("%", "%%")
                )
                continue
            group.add_argument(
                flag,
                action="append" if meta["many"] else "store",
                choices=meta["choices"],
                metavar=None if meta["choices"] else option.name.upper(),
                help=_help(option).replace("%", "%%"),
            )
    parser.add_argument("--config", metavar="MONITORS_TOML", help="watch the models of this file")
    return parser


def _help(option: Field[Any]) -> str:
    shown = shown_default(option)
    if shown == "/":
        return f"{option.metadata['help']} (required)"
    if shown == "none":
        return str(option.metadata["help"])
    return f"{option.metadata['help']} (default: {shown})"


def shown_default(option: Field[Any]) -> str:
    """Return an option's default as a person reads it; "/" if the option has to be given."""
    if option.metadata["shown"] is not None:
        return str(option.metadata["shown"])
    if option.default is MISSING:
        return "/"
    if option.default is False:
        return "off"
    return str(option.default) if option.default not in ("", (), Secret()) else "none"
