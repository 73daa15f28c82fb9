"""A clock for one process, which can be set forward or back while the process runs.

No namespace holds CLOCK_REALTIME, so only the C library can change one program's clock. A run
compiles ``clock.c`` once and loads it before the C library with LD_PRELOAD. It shifts the times
that the library returns, sets on files and waits for. This works for Python, shells, coreutils and
JVMs. It does not work for a program that asks the kernel itself (Go) or is linked statically.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Optional

from harness.support.errors import Failed

_SOURCE = Path(__file__).with_name("clock.c")


def why_not() -> Optional[str]:
    """Return why no clock can be made here; None if one can."""
    if sys.platform != "linux":
        return "needs Linux, for LD_PRELOAD"
    if _compiler() is None:
        return "needs a C compiler (cc, gcc or clang)"
    return None


class Clock:
    """The clock of one scenario; ``folder`` holds the library and the shift."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "clock.so"
        self._shift = folder / "clock-shift"
        _compile(self._library)
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make a program, and all programs that it starts, use this clock."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIFT": str(self._shift)}

    def set(self, seconds: int) -> None:
        """Set the clock this many seconds ahead of the machine's clock; behind if negative."""
        # In place, in one write: programs have the file mapped.
        with open(self._shift, "r+b" if self._shift.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("q", seconds))


def _compiler() -> Optional[str]:
    named = os.environ.get("CC")
    found = (shutil.which(name) for name in (named, "cc", "gcc", "clang") if name)
    return next((path for path in found if path is not None), None)


def _compile(library: Path) -> None:
    compiler = _compiler()
    assert compiler is not None, "ask why_not() first"
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        words = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(made), str(_SOURCE)]
        words += ["-ldl", "-lpthread"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(words)} failed: {done.stderr.strip()[-500:]}")
        os.replace(made, library)
