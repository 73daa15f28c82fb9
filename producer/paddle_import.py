"""Imports paddle, or says in one sentence why not. Finds the reason in a long error of paddle.

``import paddle`` takes seconds, nearly all of it for the Python parts that train. A prediction
needs only the extension module ``paddle/base/libpaddle.so``, which loads in a third of a second.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import BadInput


def require_paddle() -> None:
    """Import all of paddle. Raise ``BadInput`` when that fails."""
    with _one_sentence():
        import paddle  # noqa: F401


@functools.cache
def inference() -> Any:
    """Return the module with paddle's C++ inference API (``AnalysisConfig``, ``create_predictor``).

    After this call, the process can import paddle only if it imported paddle before.

    Raises:
        BadInput: There is no paddle here.
    """
    with _one_sentence():
        if "paddle" in sys.modules:
            from paddle.base import core

            return core
        found = importlib.util.find_spec("paddle")
        if found is None or not found.submodule_search_locations:
            raise ImportError("No module named 'paddle'")
        path = Path(next(iter(found.submodule_search_locations)), "base", "libpaddle.so")
        spec = importlib.util.spec_from_file_location("libpaddle", path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded


@contextlib.contextmanager
def _one_sentence() -> Iterator[None]:
    """Raise ``BadInput`` for an ``ImportError`` of the block.

    Paddle prints only its warnings and errors on stderr.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")
    try:
        yield
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
    """Return the line with the reason from an error of Paddle, which may have pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if "Error:" in line:
            return line
    return lines[-1] if lines else type(error).__name__
