"""Removes a Compose project whole: containers, networks, volumes; their logs are kept first.

    python sweep.py LIFELINE_FD DOCKER PROJECT LOG_FOLDER LIFE

``LIFELINE_FD`` is the reading end of a pipe. Only the harness holds the writing end. If the pipe
ends without the word ``done``, the harness is gone (killed, crashed, Ctrl-C at a bad moment). Then
the sweeper removes the project. Containers are children of the engine, not of the harness, so the
guard of local processes cannot do this.

Standard library only and no import from the project: it starts in 20 ms.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import List, Optional

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_TIMEOUT_S = 60.0


def _lines(docker: str, *arguments: str) -> Optional[List[str]]:
    """What a command says, line by line; None when the engine refused or did not answer."""
    try:
        done = subprocess.run(
            [docker, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    return done.stdout.decode(errors="replace").split("\n")[:-1]


def log_name(service: str, life: int) -> str:
    """The log file of a service in the project's ``life``-th time up (from 1)."""
    return f"{service}.log" if life == 1 else f"{service}.{life}.log"


def keep_logs(docker: str, project: str, folder: str, life: int) -> None:
    """Writes all that each container has said so far to a file of its own in ``folder``."""
    label = f"label={_PROJECT}={project}"
    shape = '{{.ID}} {{.Label "' + _SERVICE + '"}}'
    for line in _lines(docker, "ps", "--all", "--filter", label, "--format", shape) or ():
        container, _, service = line.partition(" ")
        path = os.path.join(folder, log_name(service or container, life))
        with open(path, "wb") as log, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [docker, "logs", container],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_TIMEOUT_S,
            )


def remove(docker: str, project: str) -> bool:
    """Removes everything that carries the project's label; false when there was nothing.

    True as well if the engine does not answer, because the state is unknown then.
    """
    label = f"label={_PROJECT}={project}"
    found = False
    for kind, listing, removing in (
        ("container", ("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
        ("network", ("network", "ls", "--quiet"), ("network", "rm")),
        ("volume", ("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
    ):
        names = _lines(docker, *listing, "--filter", label)
        found = found or names is None or bool(names)
        if names:
            # One call for each network and volume: an object that is already gone must not keep
            # the engine from removing the others.
            groups = [names] if kind == "container" else [[name] for name in names]
            for group in groups:
                _lines(docker, *removing, *group)
    return found


def main() -> int:
    """Wait for the end of the lifeline, then remove the project. Return the exit code."""
    lifeline, docker, project, folder, life = int(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    said = b""
    while True:
        block = os.read(lifeline, 64)
        if not block:
            break
        said += block
    if said.endswith(b"done"):
        return 0
    # A full disk must not leave the containers standing.
    with contextlib.suppress(OSError):
        if os.path.isdir(folder):
            keep_logs(docker, project, folder, life)
    # A `compose up` may still make containers after the harness died. A restarting engine answers
    # again after a while.
    quiet = 0
    deadline = time.monotonic() + 300
    while quiet < 2 and time.monotonic() < deadline:
        quiet = 0 if remove(docker, project) else quiet + 1
        time.sleep(1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
