"""Say what this machine lacks for containers and what to type; ALLOW_INSTALL=1 installs it.

As root on Debian, ALLOW_INSTALL=1 in the environment installs the Docker engine and Compose, and
makes the base images. README.md in this folder says what is done.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Optional

from harness.containers import bases, compose, engine
from harness.support.errors import BadInput, HarnessError, interrupted
from harness.support.parser import Parser

from . import install


def _say(text: str) -> None:
    print(f"containers: {text}", flush=True)


def _suites(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in bases.OFFICIAL:
            raise BadInput(f"there is no base {name!r}; use some of {', '.join(bases.OFFICIAL)}")
    return names


def _ready(suites: Sequence[str]) -> None:
    begin = time.monotonic()
    install.ready(_say, bases.installing_allowed(), suites)
    version = engine.docker("version", "--format", "{{.Server.Version}}")
    names = ", ".join(str(bases.find(suite)) for suite in suites) or "none needed"
    _say(
        f"ready in {time.monotonic() - begin:.1f} s: Docker {version}, "
        f"Compose {compose.version()} ({' '.join(compose.command())}), base images {names}"
    )
    # The docs write `docker compose`; here it may be another program.
    words = shlex.join(compose.command())
    _say(f"where the docs say `docker compose`, type `{words}` here, for instance")
    _say(f"  INTERVAL=30 {words} -f docker/example/compose.yaml up --detach")


def _on_sigterm(_signum: int, _frame: Optional[FrameType]) -> None:
    raise KeyboardInterrupt


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the program; return 0, 1 if an installation failed, 2 if something is missing."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    parser = Parser(
        prog="python -m docker.bootstrap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--bases",
        metavar="SUITES",
        default=",".join(bases.OFFICIAL),
        help="the Debian suites whose base images are needed (default: %(default)s)",
    )
    try:
        _ready(_suites(parser.parse_args(argv).bases))
    except HarnessError as error:
        print(f"containers: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"containers: {error.strerror or error}{where}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return interrupted()
    return 0


if __name__ == "__main__":
    sys.exit(main())
