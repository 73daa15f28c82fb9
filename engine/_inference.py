"""Paddle's inference library, loaded in a third of a second.

``import paddle`` takes seconds, nearly all of it for the Python parts that train. The engine
needs only ``AnalysisConfig`` and ``create_predictor``. They are C++ in the extension module
``paddle/base/libpaddle.so``, which is loaded by itself. If it is not where paddlepaddle 2.6 has it,
``paddle.inference`` is imported: slower, otherwise the same.

Paddle opens its math library at the first predictor, in a ``std::call_once``, which throws for
want of a descriptor. In glibc before 2.34 (Debian 11) every later predictor then waits for ever,
also in child processes. So the math library is opened here, where a lack of descriptors is seen
first.
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
    """Paddle's C++ inference API, with its math library open.

    Raises:
        ImportError: paddlepaddle is not installed.
        OSError: The process has no descriptor left; a later call may succeed.
    """
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
            return _with_math_library(loaded)
    from paddle.base import core

    return _with_math_library(core)


def _with_math_library(loaded: ModuleType) -> ModuleType:
    # The loader has one file open at a time. Python says clearly when there is no room for it.
    for descriptor in [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(2)]:
        os.close(descriptor)
    if hasattr(loaded, "set_num_threads"):
        loaded.set_num_threads(1)
    return loaded


def package_folder() -> Path:
    """Return where paddle is installed, without importing it. Raises ``ImportError``."""
    found = importlib.util.find_spec("paddle")
    if found is None or not found.submodule_search_locations:
        raise ImportError("paddlepaddle is not installed beside the engine")
    return Path(next(iter(found.submodule_search_locations)))
