# PYTHON_ARGCOMPLETE_OK
"""``python -m producer``."""

from __future__ import annotations

import sys


def _main() -> int:
    try:
        from .cli import main

        return main()
    except ImportError as error:
        # A package was removed from the environment, or another Python runs this.
        print(
            f"producer: {error}; use .venv/bin/python; if it lacks the package, remove .venv and "
            "run `make setup`",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(_main())
