"""The model and its training: one linear layer on uci_housing, as upstream's example has it.

Shuffle (buffer 500, which is more than the 404 rows: a whole permutation), batches of 16, SGD with
learning rate 0.01. Imports paddle, which takes seconds: import this module late.
"""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import paddle

from . import trial_gpu
from .dataset import FEATURES, Rows

_BATCH = 16
_LEARNING_RATE = 0.01


def give_back_sigterm() -> None:
    """Remove paddle's handler for SIGTERM and install Python's again.

    Importing paddle installs a C++ handler, which prints a stack trace. Python does not notice.
    """
    paddle.disable_signal_handler()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


class Trainer:
    """The network, its weights and the passes over the training rows.

    ``seed`` decides the first weights and every shuffle: the same seed gives the same weights
    after the same number of passes. ``table_mb`` adds a table of so many MB to the weights, of
    which the model reads one number: it makes loading slow. Not thread-safe: paddle keeps its
    programs in globals. Raises ``BadInput`` when ``device`` is ``gpu`` and no GPU computes a right
    result.
    """

    def __init__(self, rows: Rows, *, seed: int, device: str = "cpu", table_mb: int = 0) -> None:
        if device == "gpu":
            trial_gpu.check()
        paddle.enable_static()
        self._rows = rows
        self._shuffle = np.random.RandomState(seed)
        self.program: Any = paddle.static.Program()
        startup = paddle.static.Program()
        self.program.random_seed = startup.random_seed = seed
        # A guard of its own, so that names (fc_0.w_0) do not depend on what was built before.
        with paddle.static.program_guard(self.program, startup), paddle.utils.unique_name.guard():
            self.x: Any = paddle.static.data("x", [None, FEATURES], "float32")
            y = paddle.static.data("y", [None, 1], "float32")
            self.price: Any = paddle.static.nn.fc(self.x, size=1)
            if table_mb:
                self.price = self.price + _first_number(table_mb)
            cost = paddle.nn.functional.square_error_cost(self.price, y)
            self._loss = paddle.mean(cost)
            paddle.optimizer.SGD(learning_rate=_LEARNING_RATE).minimize(self._loss)
        place = paddle.CUDAPlace(0) if device == "gpu" else paddle.CPUPlace()
        self.scope: Any = paddle.static.Scope()
        self.executor: Any = paddle.static.Executor(place)
        with paddle.static.scope_guard(self.scope):
            self.executor.run(startup)

    def train_pass(self) -> float:
        """Train one pass over all rows in a new order. Return the mean loss over its batches."""
        order = self._shuffle.permutation(len(self._rows.x))
        losses = []
        with paddle.static.scope_guard(self.scope):
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                feed = {"x": self._rows.x[batch], "y": self._rows.y[batch]}
                (loss,) = self.executor.run(self.program, feed=feed, fetch_list=[self._loss])
                losses.append(float(loss))
        return float(np.mean(losses))


def _first_number(table_mb: int) -> Any:
    """Return the first number, [1, 1], of a table of random weights that training leaves alone."""
    table = paddle.static.create_parameter(
        [table_mb * 1000, 250],
        "float32",
        attr=paddle.ParamAttr(
            name="table",
            trainable=False,
            initializer=paddle.nn.initializer.Uniform(-1.0, 1.0),
        ),
    )
    return paddle.slice(table, axes=[0, 1], starts=[0, 0], ends=[1, 1])
