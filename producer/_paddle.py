"""Imports paddle, or says in one sentence that it cannot be had. It takes seconds."""

from __future__ import annotations

import os

from ._errors import BadInput


def require_paddle() -> None:
    """Raises ``BadInput`` when paddle does not import.

    Its greetings on stderr are switched off; warnings and errors stay.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")
    try:
        import paddle  # noqa: F401
    except ImportError as error:
        raise BadInput(
            f"Paddle cannot be imported here ({error}): run `make setup` and use the Python of its "
            "environment (.venv, or .venv-gpu)"
        ) from None
