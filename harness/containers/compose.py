"""Which Compose there is: the plugin, the old program, or one that docker/bootstrap installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Optional

from harness.support.errors import BadInput
from harness.support.paths import cache_dir, repository_root

from .engine import READY_HINT

#: Profiles and devices need 1.28; 1.29 is the oldest version that was tried.
OLDEST = (1, 29)


def compose_file() -> Path:
    """``docker/compose.yaml`` of this checkout."""
    return repository_root() / "docker" / "compose.yaml"


def variables(file: Path) -> set[str]:
    """The names of all ``${…}`` in a Compose file.

    Compose takes unset ones from the user's environment, where HTTP_PORT may mean something else
    (Kubernetes sets it to a URL). So the caller sets or removes each variable.
    """
    return set(re.findall(r"\$\{(\w+)", file.read_text()))


def brought() -> Path:
    """Where ``make docker-ready`` puts a Compose that the system does not have."""
    return cache_dir("docker", "bin") / "docker-compose"


def version_of(argv: Sequence[str]) -> Optional[tuple[int, ...]]:
    """The version a Compose command says it has, or None when it does not work."""
    try:
        done = subprocess.run(
            [*argv, "version", "--short"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(rb"(\d+)\.(\d+)\.(\d+)", done.stdout)
    if done.returncode or found is None:
        return None
    return tuple(int(part) for part in found.groups())


@cache
def _find(given: Optional[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if given:
        argv = tuple(shlex.split(given))
        version = version_of(argv)
        if version is None or version < OLDEST:
            raise BadInput(
                f"HARNESS_COMPOSE={given} is not a Compose of version "
                f"{'.'.join(map(str, OLDEST))} or newer; name one, or unset it"
            )
        return argv, version
    candidates: list[tuple[str, ...]] = [("docker", "compose")]
    candidates += [(str(brought()),)] if brought().exists() else []
    candidates += [("docker-compose",)] if shutil.which("docker-compose") else []
    for argv in candidates:
        version = version_of(argv)
        if version is not None and version >= OLDEST:
            return argv, version
    raise BadInput(
        f"there is no Docker Compose {'.'.join(map(str, OLDEST))} or newer on this machine; "
        + READY_HINT
    )


def command() -> tuple[str, ...]:
    """The words that start Compose; ``HARNESS_COMPOSE`` names another one.

    Raises ``BadInput`` when there is none that works.
    """
    return _find(os.environ.get("HARNESS_COMPOSE"))[0]


def version() -> str:
    """Its version, as text."""
    return ".".join(map(str, _find(os.environ.get("HARNESS_COMPOSE"))[1]))


def forget() -> None:
    """Make the next call look again, for use after an installation."""
    _find.cache_clear()
