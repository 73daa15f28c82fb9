"""Computes on the GPU, in this process, and says whether the result is right.

    python -m producer.trial_gpu

Paddle only warns about a GPU that it was not built for. None of its kernels runs there, and no call
fails. A result is whatever the memory holds, mostly 0. A training then learns nothing, and a server
predicts 0. This was seen on an H200 with paddlepaddle-gpu 2.6.2, whose code is for compute
capability 6.1 to 8.6 and cannot be translated for newer GPUs.

Exit codes: 0 the result is right, 2 it is wrong; one sentence each. If CUDA's libraries are
damaged, Paddle may end the process with a signal.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .errors import BadInput
from .paddle_import import reason, require_paddle

_CPU = "the CPU (--device cpu, DEVICE=cpu)"
_CURE = f"use {_CPU}, or a machine that has what docs/serving.md says under GPU"


def main() -> int:
    """Run the command. Return its exit code."""
    try:
        print(f"trial gpu: {check()}")
    except BadInput as error:
        print(f"trial gpu: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def check() -> str:
    """Compare one linear layer on the first GPU with numpy's result. Return the sentence to print.

    Raises ``BadInput`` if something is missing here, or the result is wrong.
    """
    require_paddle()
    import paddle

    if not paddle.device.is_compiled_with_cuda():
        raise BadInput(
            f"--device gpu needs the GPU build of Paddle, but this environment has paddlepaddle "
            f"{paddle.__version__} for the CPU; use the GPU environment, or {_CPU}"
        )
    if paddle.device.cuda.device_count() == 0:
        raise BadInput(f"--device gpu found no CUDA device here; look at nvidia-smi, or use {_CPU}")
    x = np.arange(26, dtype=np.float32).reshape(2, 13)
    w = np.linspace(-1, 1, 13, dtype=np.float32).reshape(13, 1)
    b = np.array([7], np.float32)
    try:
        card = paddle.device.cuda.get_device_properties(0)
        name = f"{card.name} (compute capability {card.major}.{card.minor})"
        found = layer(paddle.CUDAPlace(0), x, w, b)
    except Exception as error:
        raise BadInput(
            f"--device gpu: Paddle cannot compute here: {reason(error)}; {_CURE}"
        ) from None
    wanted = x @ w + b
    # Matrices may be multiplied in TF32, which keeps ten bits.
    if not np.allclose(found, wanted, rtol=1e-2, atol=1e-2):
        raise BadInput(
            f"--device gpu: on this {name} paddlepaddle-gpu {paddle.__version__} computes "
            f"{found.ravel().tolist()} in place of {wanted.ravel().tolist()}, as on a GPU that it "
            f"has no code for; {_CURE}"
        )
    return f"{name} computes what the CPU does"


def layer(place: Any, x: Any, w: Any, b: Any) -> Any:
    """Return ``x @ w + b``, computed on ``place`` by a cuBLAS product and a kernel of Paddle's."""
    import paddle

    # A guard, because the trainer switches to static programs for good.
    with paddle.base.dygraph.guard(place):
        x, w, b = (paddle.to_tensor(one, place=place) for one in (x, w, b))
        return (paddle.matmul(x, w) + b).numpy()


if __name__ == "__main__":
    sys.exit(main())
