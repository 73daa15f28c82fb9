"""Whether a model on a GPU answers what it answers on the CPU.

A Paddle that was not built for the GPU at hand only warns of it: nothing it launches there runs, no
call fails, and the outputs are whatever lies in the memory (``producer.trial_gpu``). Served, that
would be wrong predictions without a single error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._core import trial_feed
from ._model import Model, Output
from ._model_files import BadModel, Graph, unavailable
from ._query import Array, ServiceError

# A GPU may multiply in TF32, which keeps ten bits of a number, and sums in another order. What was
# not computed at all is off by the whole.
_MOST = 0.1


def ask_both(on_gpu: Model, on_cpu: Model, graph: Graph) -> None:
    """Raises ``BadModel`` when they do not answer a trial alike, the same model that both are; and
    whatever the one on the GPU raises.

    A model that refuses random numbers on the CPU cannot be compared, and is taken as it is.
    """
    feed = trial_feed(graph)
    try:
        wanted = on_cpu.feed(feed)
    except ServiceError:
        return
    except OSError as error:
        raise unavailable("the model could not be tried on the CPU", error) from None
    found = on_gpu.feed(feed)
    if not alike(found, wanted):
        raise BadModel(
            f"the GPU answers {_shown(found)} where the CPU answers {_shown(wanted)}: this Paddle "
            "has no code for this GPU, or not for what the model does; leave --gpu_ids out"
        )


def alike(found: Sequence[Output], wanted: Sequence[Output]) -> bool:
    """Whether every output of numbers with a point is nearly the same, and of the same shape.

    Of others, an index for one, a rounding may make another.
    """
    for (one, _), (other, _) in zip(found, wanted):
        if one.shape != other.shape:
            return False
        if other.dtype.kind == "f" and not _near(one.astype(np.float64), other.astype(np.float64)):
            return False
    return True


def _near(one: Array, other: Array) -> bool:
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return False
    here = np.isfinite(other)
    off = float(np.linalg.norm(one[here] - other[here]))
    return off <= _MOST * float(np.linalg.norm(other[here])) + 1e-6


def _shown(outputs: Sequence[Output]) -> str:
    return ", ".join(str(array.ravel()[:2].tolist()) for array, _ in outputs)
