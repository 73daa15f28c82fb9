"""Paddle's inference library, loaded in a third of a second.

``import paddle`` takes seconds, nearly all of it for the Python parts that train. The engine
needs ``AnalysisConfig`` and ``create_predictor`` alone, which are C++ in the extension module
``paddle/base/libpaddle.so`` and initialise themselves; so that module is loaded by itself. When
it is not where paddlepaddle 2.6 has it, or lacks what is needed, ``paddle.inference`` is imported
in the ordinary way: slower, otherwise the same.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path
from types import ModuleType

_NEEDED = ("AnalysisConfig", "create_predictor", "is_compiled_with_cuda")


@functools.cache
def library() -> ModuleType:
    """The module with Paddle's C++ inference API. Raises ``ImportError``."""
    # paddle does the same at import: more threads only disturb, and OpenMP's spin while they wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    path = package_folder() / "base" / "libpaddle.so"
    if path.is_file():
        spec = importlib.util.spec_from_file_location("libpaddle", path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        if all(hasattr(loaded, name) for name in _NEEDED):
            return loaded
    from paddle.base import core

    whole: ModuleType = core
    return whole


def package_folder() -> Path:
    """Where paddle is installed, without importing it. Raises ``ImportError``."""
    found = importlib.util.find_spec("paddle")
    if found is None or not found.submodule_search_locations:
        raise ImportError("paddlepaddle is not installed beside the engine")
    return Path(next(iter(found.submodule_search_locations)))
