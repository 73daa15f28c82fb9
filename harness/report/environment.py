"""Writes ``environment.json``: the versions and the machine of a run, for readers elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Optional

from harness.containers.hashing import content_hash
from harness.serving import proof
from harness.support.paths import repository_root

from .masking import masked

# What decides how a run goes: packages, and folders of sources.
_DECISIVE = (
    *("paddlepaddle", "paddlepaddle-gpu", "paddle-serving-server", "paddle-serving-server-gpu"),
    *("paddle-serving-client", "numpy"),
)
_SOURCES = ("harness", "monitor", "producer", "engine", "requirements")


def write_environment(folder: Path, programs: Mapping[str, Path], device: str = "cpu") -> None:
    """Write ``environment.json``.

    Args:
        folder: The run's folder.
        programs: Files whose digests are recorded; a name that is no file (an image) has none.
        device: ``cpu`` or ``gpu``.
    """
    found = {
        "command": masked(sys.argv),
        "python": f"{platform.python_version()} in {sys.prefix}",
        "packages": _packages(),
        "suite": _suite(),
        "programs": {name: _program(path) for name, path in programs.items()},
        "machine": machine(device),
    }
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (folder / "environment.json").write_text(text, encoding="utf-8")


def machine(device: str) -> dict[str, Any]:
    """Return what the machine is; ``device`` is ``cpu`` or ``gpu``."""
    return {**proof.machine(device), **_hardware()}


def versions() -> dict[str, str]:
    """Return the versions that decide how a run goes."""
    found = {name: version for name, version in _packages().items() if name.lower() in _DECISIVE}
    commit = _commit(repository_root())
    return {"python": platform.python_version(), **found, **({"commit": commit} if commit else {})}


def _packages() -> dict[str, str]:
    found = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _suite() -> dict[str, Optional[str]]:
    """Return the digest of the sources, and the commit if this is a checkout of Git."""
    root = repository_root()
    sources = [(name, root / name) for name in _SOURCES if (root / name).is_dir()]
    return {"sources": content_hash(sources, ()), "commit": _commit(root)}


def _commit(root: Path) -> Optional[str]:
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _program(path: Path) -> dict[str, str]:
    found = {"path": str(path)}
    if path.is_file():
        with path.open("rb") as file:
            total = hashlib.sha256()
            for block in iter(lambda: file.read(1 << 20), b""):
                total.update(block)
        found["sha256"] = total.hexdigest()
    return found


def _hardware() -> dict[str, Any]:
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "system": _system(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _system() -> str:
    """Return the name of the distribution, from os-release(5)."""
    try:
        named = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.M)
    except OSError:
        named = None
    return named[1] if named else platform.system()
