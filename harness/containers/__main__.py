"""``python -m harness.containers``: the command line of ``harness.cli.containers``."""

from __future__ import annotations

import sys

from harness.cli.containers import main

if __name__ == "__main__":
    sys.exit(main())
