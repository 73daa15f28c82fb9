"""``python -m harness.containers``: another name for ``python -m harness containers``."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    words = ["-m", "harness", "containers", *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, *words])
