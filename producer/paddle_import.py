"""Imports paddle, or says in one sentence that it cannot be had; and what one of its errors says.

Importing it takes seconds.
"""

from __future__ import annotations

import os

from .errors import BadInput


def require_paddle() -> None:
    """Raises ``BadInput`` when paddle does not import.

    Its greetings on stderr are switched off; warnings and errors stay.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")
    try:
        import paddle  # noqa: F401
    except ImportError as error:
        if "libgomp" in str(error):
            # The set-up links a replacement; an environment of another origin has none.
            raise BadInput(
                f"Paddle cannot be loaded here ({error}); run `make setup` and use its .venv, or "
                "install the library, for instance with `apt-get install libgomp1`"
            ) from None
        raise BadInput(
            f"Paddle cannot be imported here ({error}); run `make setup` and use the Python of its "
            "environment (.venv, or .venv-gpu)"
        ) from None


def reason(error: Exception) -> str:
    """Paddle's errors are pages; the line with the reason is the one marked as such."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if "Error:" in line:
            return line
    return lines[-1] if lines else type(error).__name__
