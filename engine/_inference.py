"""Paddle's inference library, loaded in a third of a second.

``import paddle`` takes seconds, nearly all of it for the Python parts that train. The engine
needs only ``AnalysisConfig`` and ``create_predictor``. They are C++ in the extension module
``paddle/base/libpaddle.so`` of paddlepaddle 2.6, which is loaded by itself.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path
from types import ModuleType


@functools.cache
def library() -> ModuleType:
    """Paddle's C++ inference API. Raises ``ImportError`` if paddlepaddle is not installed."""
    # paddle does the same at import: more threads only disturb, and OpenMP's spin while they wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    path = package_folder() / "base" / "libpaddle.so"
    spec = importlib.util.spec_from_file_location("libpaddle", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    # Opens the math library, so that no model process has to.
    loaded.set_num_threads(1)
    return loaded


def package_folder() -> Path:
    """Return where paddle is installed, without importing it. Raises ``ImportError``."""
    found = importlib.util.find_spec("paddle")
    if found is None or not found.submodule_search_locations:
        raise ImportError("paddlepaddle is not installed beside the engine")
    return Path(next(iter(found.submodule_search_locations)))
