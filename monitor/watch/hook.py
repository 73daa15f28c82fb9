"""Runs a program of the operator (``--check_command``, ``--on_swap``, ``--on_served``).

There is no shell. The command line is split as a shell would; the folder is appended as the last
argument. The program also gets, in its environment:

    SERVING_MONITOR_MODEL      name of the live directory
    SERVING_MONITOR_RELEASE    release number, empty without a manifest
    SERVING_MONITOR_LIVE       path of the live directory
    SERVING_MONITOR_EVENT      ``swapped``, ``rolled_back`` or ``served`` (not check)
    SERVING_MONITOR_NOTICE     what ``--webhook`` gets, JSON (not check)
    SERVING_MONITOR_TARBALL    path of the tarball as it was pulled (check only)
    SERVING_MONITOR_DONEFILE   path of a copy of the donefile, as published (check only)
    MONITOR_MANIFEST           the manifest itself, JSON in UTF-8, when there is one (check only)
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Optional

from ..decisions.identity import Identity
from ..errors import MachineError, ReleaseError
from ..live.layout import DONEFILE
from ..log import logger
from ..manifest import Manifest
from ..options.fields import Options
from ..options.secrets import environment_without_secrets
from ..options.words import words
from ..stop import Stop

_KEPT = 8 * 1024


@dataclass(frozen=True)
class Ended:
    """``code`` as from ``subprocess`` (negative: a signal), or None for a time-out."""

    code: Optional[int]
    # The last lines that the program printed.
    output: str


def run(argv: list[str], environment: dict[str, str], timeout: float, stop: Stop) -> Ended:
    """Run ``argv`` to its end.

    Raises:
        OSError: It cannot be started.
        Stopped: The monitor has to end. The program is killed.
    """
    logger.debug("run cmd: %s", shlex.join(argv))
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment_without_secrets(), **environment},
            start_new_session=True,
        )
        code: Optional[int] = None
        try:
            deadline = time.monotonic() + timeout
            while code is None and time.monotonic() < deadline:
                stop.check()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(0.1)
        finally:
            # Kill what the program started and left running, too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _KEPT))
        text = output.read().decode("utf-8", "replace").strip()
    return Ended(code, text)


# Signals with which a program that tries to load a damaged model dies.
_CRASHES = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


def refuses(ended: Ended) -> bool:
    """Return whether a check refuses the release. Any other end but 0 blames this machine."""
    return ended.code == 1 or (ended.code is not None and -ended.code in _CRASHES)


def why(ended: Ended, timeout: float) -> str:
    """Return the end of a program in words, with its last line of output."""
    last = ended.output.splitlines()[-1] if ended.output else "it said nothing"
    if ended.code is None:
        return f"it took more than {timeout:g} s ({last})"
    if ended.code < 0:
        return f"signal {-ended.code} ended it ({last})"
    return f"exit code {ended.code} ({last})"


def check(
    options: Options,
    identity: Identity,
    manifest: Optional[Manifest],
    *,
    staging: str,
    tarball: str,
    donefile: bytes,
    stop: Stop,
) -> None:
    """Run ``--check_command`` on a staged release.

    Raises:
        ReleaseError: The command refuses the release.
        MachineError: The command cannot tell.
    """
    copy = tarball + DONEFILE
    with open(copy, "wb") as file:
        file.write(donefile)
    environment = environment_of(options, identity.release)
    environment["SERVING_MONITOR_DONEFILE"] = copy
    environment["SERVING_MONITOR_TARBALL"] = tarball
    if manifest is not None:
        # The published text: JSON written again can be too long for the kernel.
        environment["MONITOR_MANIFEST"] = os.fsdecode(manifest.text.encode())
    argv = [*words(options.check_command, "--check_command"), staging]
    try:
        ended = run(argv, environment, options.check_timeout, stop)
    except OSError as error:
        raise MachineError("run", argv[0], error, "check --check_command") from error
    finally:
        os.unlink(copy)
    if ended.code == 0:
        return
    name, reason = options.remote_model_name, why(ended, options.check_timeout)
    if refuses(ended):
        raise ReleaseError(
            "use", name, f"--check_command refused it: {reason}", "publish one that passes"
        )
    raise MachineError(
        "check", name, f"--check_command failed: {reason}", "run it by hand to see why"
    )


def environment_of(options: Options, release: Optional[int]) -> dict[str, str]:
    """Return what a program gets beside the monitor's own environment."""
    return {
        "SERVING_MONITOR_MODEL": options.local_model_name,
        "SERVING_MONITOR_LIVE": options.live,
        "SERVING_MONITOR_RELEASE": "" if release is None else str(release),
    }
