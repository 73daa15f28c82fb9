"""Whether a model on a GPU answers what it answers on the CPU.

A Paddle that was not built for this GPU only warns of it (``producer.trial_gpu``). The server would
then give wrong predictions without an error.

A model is not compared if it refuses random numbers, takes a fixed number of rows, or gives random
answers. An output is not compared if its size depends on its content.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._core import trial_feed
from ._model import Model, Output
from ._model_files import BadModel, Graph
from ._query import Array, ServiceError

# A GPU may multiply in TF32, which keeps ten bits of a number, and it sums in another order. The
# error of an output that was not computed at all is as large as the output.
_MOST = 0.1


def ask_both(on_gpu: Model, on_cpu: Model, graph: Graph) -> None:
    """Ask the same model on both devices.

    Raises:
        BadModel: The answers differ.
        Exception: Whatever the model on the GPU raises.
    """
    feed = trial_feed(graph)
    if len(feed) < len(graph.inputs):
        return
    try:
        wanted, again = on_cpu.feed(feed), on_cpu.feed(feed)
    except ServiceError:
        if on_cpu.over:
            what = "the model could not be tried on the CPU: its process there has ended"
            raise BadModel(what, None, passing=True) from None
        return
    if unlike(again, wanted):
        return
    different = unlike(on_gpu.feed(feed), wanted)
    if different:
        raise BadModel(
            f"the GPU answers {different}; this Paddle may have no code for this GPU; leave "
            "--gpu_ids out"
        )


def unlike(found: Sequence[Output], wanted: Sequence[Output]) -> str:
    """Return the values where an output differs most; empty when all outputs are alike.

    Floats must be nearly the same. Rounding may change integers, such as an index, so one equal
    integer is enough.
    """
    for (one, _), (other, _) in zip(found, wanted):
        if one.shape != other.shape or not one.size:
            continue
        near = _near(one, other) if other.dtype.kind == "f" else bool((one == other).any())
        if not near:
            place = _farthest(one, other)
            return f"{one.flat[place]} where the CPU answers {other.flat[place]}"
    return ""


def _near(one: Array, other: Array) -> bool:
    here = np.isfinite(other)
    if not np.array_equal(np.isfinite(one), here):
        return False
    a, b = one[here].astype(np.float64), other[here].astype(np.float64)
    return float(np.linalg.norm(a - b)) <= _MOST * float(np.linalg.norm(b)) + 1e-6


def _farthest(one: Array, other: Array) -> int:
    off = np.abs(one.astype(np.float64) - other.astype(np.float64)).ravel()
    # NaN is farther than any number.
    return int(np.argmax(np.nan_to_num(off, nan=np.inf)))
