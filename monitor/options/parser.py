"""The command line, made from the options' fields."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field
from typing import Any, NoReturn

from .. import __version__
from ..errors import BadOption
from ..mask import STARS
from . import values
from .fields import OURS, UPSTREAM, option_fields
from .secrets import Secret
from .short_help import FIRST_CLAUSE, ShortHelpParser

# argparse's messages that quote a value. It may be a secret.
_AMBIGUOUS = re.compile(r"(ambiguous option: -[^=\s]*)=.* could match", re.DOTALL)
_EXPLICIT = re.compile(r"(ignored explicit argument ).*", re.DOTALL)


_COMMON = (
    *("type", "remote_path", "remote_model_name", "remote_donefile_name", "local_path"),
    *("local_model_name", "interval"),
)
# What a person typed to start it.
PROGRAM = (
    "serving-monitor" if os.path.basename(sys.argv[0]) == "serving-monitor" else "python -m monitor"
)
_EXAMPLE = f"""\
example: {PROGRAM} --type general --general_host http://models:8080 \\
           --remote_path / --remote_model_name m.tar.gz \\
           --remote_donefile_name donefile --local_path . --local_model_name m
"""
_EPILOG = f"""\
Commands: '{PROGRAM} status …', rollback, hold, resume, pin and unpin
take --local_path and --local_model_name. '{PROGRAM} --config
monitors.toml' watches many models. docs/monitor.md describes all options.
"""


class Parser(ShortHelpParser):
    """One sentence and exit code 2 for a wrong option; ``--help`` fits on one screen."""

    def shorten(self, shown: AbstractSet[str]) -> None:
        """Keep the common options, with the first clause of their help."""
        for action in self._actions:
            if shown.isdisjoint({*action.option_strings, action.dest}):
                action.help = argparse.SUPPRESS
            elif action.option_strings and action.nargs != 0:
                action.metavar = "…"
                action.help = FIRST_CLAUSE.split(str(action.help))[0].replace(" (required)", "")
        self.usage = "%(prog)s [status | rollback | hold | …] OPTION …"
        self.formatter_class = _Narrow

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            # The value of a misspelt option may be a password.
            names = [word.partition("=")[0] if word.startswith("--") else STARS for word in unknown]
            self.error(f"unrecognized arguments: {' '.join(names)}")
        return given

    def error(self, message: str) -> NoReturn:
        message = _AMBIGUOUS.sub(rf"\1={STARS} could match", message)
        message = _EXPLICIT.sub(rf"\1{STARS}", message)
        raise BadOption(f"{message}; see --help")


class _Narrow(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of the monitor."""
    parser = Parser(
        prog=PROGRAM,
        description="Pulls new releases of a model from a remote and swaps them in.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        common=_COMMON,
        example=_EXAMPLE,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
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
