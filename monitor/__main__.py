# PYTHON_ARGCOMPLETE_OK
"""``python -m monitor``: the command line.

Exit codes: 0 done; 1 ``--once`` installed nothing, or a command failed; 2 a wrong option, a missing
prerequisite or, with ``--once``, an unreachable remote. An error is one sentence without traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Optional

from . import log
from .errors import BadOption, MonitorError
from .mask import mask
from .options import fields, parser, secrets
from .options.argv import hide


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the monitor with ``argv`` (default: this process's arguments). Return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and not words[0].startswith("-"):
            from . import commands

            if words[0] in commands.NAMES:
                return commands.main(words)
        return _monitor(words, own=argv is None)
    except MonitorError as error:
        if "--debug" in words:
            print(mask(traceback.format_exc()), end="", file=sys.stderr)
        print(f"serving-monitor: {mask(str(error))}", file=sys.stderr)
        return error.exit_code
    except ImportError as error:
        if "--debug" in words:
            traceback.print_exc()
        print(
            f"serving-monitor: {error}; install the monitor and its packages: type "
            "`pip install ./monitor` in the checkout",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        # If the signal came during an ``exec`` (``dataclass`` uses it), Python ends by the signal
        # instead of with this code. Another ``exec`` clears that.
        exec("")
        return 130


def _monitor(words: list[str], own: bool) -> int:
    secrets.know_proxies()
    command_line = parser.build_parser()
    if "_ARGCOMPLETE" in os.environ:
        # Optional: the extra `completion`.
        import argcomplete

        argcomplete.autocomplete(command_line)
    given = vars(command_line.parse_args(words))
    config = given.pop("config")
    if config is not None:
        from .options.config import read

        models = read(config, given)
    else:
        models = [fields.from_mapping(given)]
    if own:
        hide(part for model in models for secret in model.secrets for part in secret.hidden)
    first = models[0]
    if any(model.once for model in models) and not all(model.once for model in models):
        raise BadOption("once is not the same for all models of --config; set it above them")
    log.set_up(
        debug=any(model.debug for model in models),
        as_json=first.log_format == "json",
        many=config is not None,
    )
    from . import process

    return process.run(models)


if __name__ == "__main__":
    sys.exit(main())
