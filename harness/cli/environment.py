"""The part of ``make doctor`` and of the set-up that runs inside the environment.

``python -m harness.cli.environment`` prints the rows of ``make doctor`` that need the environment.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Callable

from harness.remotes.registry import REMOTES
from harness.support import places
from harness.support.errors import HarnessError

Check = Callable[[], str]


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def setup(remotes: str) -> int:
    """Make the patched client, and fetch what the named remotes need (Hadoop's jars)."""
    from harness.load.patched_client import patched_library

    begin = time.monotonic()
    patched_library(_say)
    for remote in REMOTES:
        if remote.name in remotes.split(","):
            remote.local.fetch(_say)
    took = time.monotonic() - begin
    if took > 1:
        _say(f"client and remotes ready in {took:.1f} s")
    return 0


def _python() -> str:
    return f"{platform.python_version()} in {sys.prefix}"


def _packages() -> str:
    names = ("paddle-serving-server", "paddle-serving-client", "paddlepaddle", "numpy")
    found = []
    for name in names:
        for candidate in (name, f"{name}-gpu"):
            try:
                found.append(f"{candidate} {metadata.version(candidate)}")
                break
            except metadata.PackageNotFoundError:
                continue
        else:
            found.append(f"{name} MISSING: remove {sys.prefix} and run `make setup`")
    return ", ".join(found)


def _client() -> str:
    from harness.load.patched_client import is_patched, patched_library

    if not is_patched():
        return "not patched yet: `make setup` does it"
    return f"patched copy {patched_library()}"


def _gpu() -> str:
    there = Path("/dev/nvidiactl").exists()
    if not there:
        return "none: DEVICE=cpu only"
    return "there; `python -m producer.trial_gpu` says whether Paddle computes on it"


def _docker() -> str:
    from harness.containers import compose, engine

    # Docker is MISSING only for a run that needs it.
    needed = "docker" in (os.environ.get("ON"), os.environ.get("SERVING"))
    try:
        engine.require()
        version = engine.docker("version", "--format", "{{.Server.Version}}")
        return f"engine {version}, Compose {compose.version()} ({' '.join(compose.command())})"
    except HarnessError as error:
        return f"{'MISSING' if needed else 'ON=local only'}: {error}"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("Python", _python),
    ("packages", _packages),
    ("compiled client", _client),
    *(
        row
        for remote in REMOTES
        for row in remote.local.checks()
        if remote.name != "hdfs" or places.wants_local_hdfs()
    ),
    ("GPU", _gpu),
    ("Docker", _docker),
)


def main() -> int:
    """Print one line for each part; return 2 if ``make e2e`` needs something that is missing."""
    code = 0
    for name, check in CHECKS:
        try:
            found = check()
        except HarnessError as error:
            found = f"MISSING: {error}"
        except ImportError as error:
            found = f"MISSING: {error}; remove {sys.prefix} and run `make setup`"
        if "MISSING" in found:
            code = 2
        print(f"{name:16} {found}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
