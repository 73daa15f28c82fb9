"""``python -m producer``."""

from __future__ import annotations

import sys


def _main() -> int:
    try:
        from ._cli import main
    except ImportError as error:
        # Something was removed from the environment, or another Python was used.
        print(
            f"producer: {error}; use the Python of the environment, .venv/bin/python, or, if it "
            "lacks a package, remove .venv and run `make setup`",
            file=sys.stderr,
        )
        return 2
    return main()


if __name__ == "__main__":
    sys.exit(_main())
