"""Makes a model that takes long to load: ``python large_model.py FOLDER`` writes FOLDER/large.

The model is ``uci_2`` of ``models.py`` with a table of 200 MB. The table adds 0 to the price.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

_ROWS, _COLUMNS = 200_000, 250


def _large(paddle: Any) -> tuple[list[Any], list[Any]]:
    from harness.conformance.serving.models import parameter

    weights = np.arange(1, 14, dtype="float32").reshape(13, 1) * 2
    table = parameter(paddle, np.zeros((_ROWS, _COLUMNS), "float32"))
    nothing = paddle.slice(table, axes=[0, 1], starts=[0, 0], ends=[1, 1])
    x = paddle.static.data("x", [None, 13], "float32")
    price = paddle.matmul(x, parameter(paddle, weights)) + parameter(
        paddle, np.array([2], "float32")
    )
    return [x], [price + nothing]


def make(folder: Path) -> None:
    """Write the model below ``folder``."""
    import paddle

    from harness.conformance.serving.models import Variable, export

    paddle.enable_static()
    x, price = Variable("x", "x", "float32", (13,)), Variable("", "price", "float32", (1,))
    export(folder / "large", _large, [x], [price])


if __name__ == "__main__":
    make(Path(sys.argv[1]))
