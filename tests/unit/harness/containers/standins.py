"""Stand-ins for docker, apt and similar programs, with which a test imitates any machine."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path


def program(folder: Path, name: str, script: str) -> Path:
    """A shell script that is found as ``name`` where ``folder`` is in PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def borrowed(folder: Path, *names: str) -> None:
    """Link the machine's own programs of these names, and the shell, which stand-ins need."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("sh", *names):
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)


#: What a healthy engine on this machine says.
HEALTHY = {
    "context inspect --format {{.Endpoints.docker.Host}}": "unix:///var/run/docker.sock",
    "context inspect --format {{.Name}}": "default",
    "version": "26.1.5",
    "info --format {{json .SecurityOptions}}": '["name=seccomp,profile=builtin"]',
    "info --format {{json .}}": '{"Runtimes": {"runc": {"path": "runc"}}}',
    "compose version": "2.26.1",
}


def docker(folder: Path, answers: Mapping[str, str] = HEALTHY) -> Path:
    """A docker that gives these answers, by the first words of what it is asked; else refuses."""
    cases = "".join(
        f"{shlex.quote(words)}*) echo {shlex.quote(answer)} ;;\n"
        for words, answer in answers.items()
    )
    refusal = "echo 'Error response from daemon: there is no such thing' >&2; exit 1"
    return program(folder, "docker", f'case "$*" in\n{cases}*) {refusal} ;;\nesac')
