"""Starts docker/bootstrap, the program that installs what containers need."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from harness.support.errors import BadInput, Failed
from harness.support.paths import repository_root


def run(suites: Sequence[str], say: Callable[[str], None]) -> None:
    """Install what is missing, with the base images of ``suites``; say each line it prints.

    Raises:
        BadInput: It may not, or cannot, be installed here; the text is the program's own.
        Failed: The installation failed.
    """
    words = [sys.executable, "-m", "docker.bootstrap", f"--bases={','.join(suites)}"]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            words,
            cwd=repository_root(),
            env={**os.environ, "ALLOW_INSTALL": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        ) as program:
            assert program.stdout is not None
            try:
                for line in program.stdout:
                    say(line.rstrip().partition(": ")[2])
            except BaseException:
                program.terminate()
                raise
        errors.seek(0)
        text = errors.read().decode(errors="replace").strip().partition(": ")[2]
    if program.returncode == 2:
        raise BadInput(text)
    if program.returncode:
        raise Failed(text or f"docker/bootstrap ended with exit code {program.returncode}")
