"""What this machine has, and what is missing for what; and the parts of the set-up that need the
environment itself (the cured client, the Hadoop jars).
"""

from __future__ import annotations

import platform
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Callable

from .errors import HarnessError
from .paths import cache_dir

Check = Callable[[], str]


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def setup() -> int:
    """Makes the cured client and fetches the Hadoop jars; quick when both are there."""
    from .clients.cure import cured_library
    from .hadoop import fetch_jars

    begin = time.monotonic()
    cured_library(_say)
    fetch_jars()
    took = time.monotonic() - begin
    if took > 1:
        _say(f"client and Hadoop ready in {took:.1f} s")
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
            found.append(f"{name} MISSING: run `make setup`")
    return ", ".join(found)


def _client() -> str:
    from .clients.cure import cured_library

    return f"cured copy {cured_library()}"


def _java() -> str:
    from .hadoop import java

    return str(java())


def _serving() -> str:
    from .serving.proof import official_row

    return official_row(str(cache_dir("serving")))


def _gpu() -> str:
    there = Path("/dev/nvidiactl").exists()
    if not there:
        return "none: DEVICE=cpu only"
    return "there; whether Paddle computes on it says `python -m producer.trial_gpu`"


def _docker() -> str:
    from .containers import compose, engine

    # Nothing that `make e2e` needs: a reason is told, and is no fault of the machine.
    try:
        engine.require()
        version = engine.docker("version", "--format", "{{.Server.Version}}")
        return f"engine {version}, Compose {compose.version()} ({' '.join(compose.command())})"
    except HarnessError as error:
        return f"ON=local only: {error}"


def _cache() -> str:
    folder = cache_dir()
    return f"{folder}, {shutil.disk_usage(folder).free / 2**30:.0f} GiB free"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("system", lambda: f"{platform.machine()} {' '.join(platform.libc_ver())}"),
    ("Python", _python),
    ("packages", _packages),
    ("compiled client", _client),
    ("Java for HDFS", _java),
    ("official binary", _serving),
    ("GPU", _gpu),
    ("Docker", _docker),
    ("cache", _cache),
)


def doctor() -> int:
    """Prints one line a part. Exit code 2 when something that ``make e2e`` needs is missing."""
    code = 0
    for name, check in CHECKS:
        try:
            found = check()
        except HarnessError as error:
            found, code = f"MISSING: {error}", 2
        print(f"{name:16} {found}")
    return code
