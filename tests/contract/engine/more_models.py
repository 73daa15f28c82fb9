"""Makes the models that only the engine's tests serve, beside those of the suite.

    python tests/contract/engine/more_models.py FOLDER

writes in the same format:

    FOLDER/words          a sequence: lod tensor of int64 in, the sum of each sequence out
    FOLDER/numbers        the types that HttpClient can send: float32, int64, int32 and a string
    FOLDER/packed         those that the compiled client sends besides: float16, uint8, int8

The last two add one to everything that they are fed and give it back in its type.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from harness.conformance.serving.models import Variable, export, parameter

# The bytes of a string feed: five characters and the 0 behind them.
STRING_BYTES = 6


def _words(paddle: Any) -> tuple[list[Any], list[Any]]:
    words = paddle.static.data("words", [None, 1], "int64", lod_level=1)
    one = parameter(paddle, np.ones((1, 1), "float32"))
    numbers = paddle.cast(words, "float32") * one
    return [words], [paddle.static.nn.sequence_lod.sequence_pool(numbers, "sum")]


def _cast(paddle: Any, x: Any, dtype: str) -> Any:
    """The operator itself: ``paddle.cast`` takes no int8, though the operator does."""
    block = paddle.static.default_main_program().current_block()
    out = block.create_var(dtype=dtype, shape=x.shape)
    block.append_op(
        type="cast",
        inputs={"X": [x]},
        outputs={"Out": [out]},
        attrs={"in_dtype": x.dtype, "out_dtype": out.dtype},
    )
    return out


def _plus_one(feeds: Sequence[Variable]) -> Any:
    def build(paddle: Any) -> tuple[list[Any], list[Any]]:
        one = parameter(paddle, np.ones((1,), "float32"))
        inputs, outputs = [], []
        for feed in feeds:
            dtype = "uint8" if feed.dtype == "string" else feed.dtype
            # float32 does not hold every int64.
            wide = dtype if dtype == "int64" else "float32"
            inputs.append(paddle.static.data(feed.name, list(feed.shape), dtype))
            more = _cast(paddle, inputs[-1], wide) + _cast(paddle, one, wide)
            outputs.append(_cast(paddle, more, dtype))
        return inputs, outputs

    return build


def _export_types(folder: Path, dtypes: Sequence[str]) -> None:
    """A model with a feed of each type, named like it, in a fixed shape.

    The compiled client sends bytes and strings in the shape that its configuration names.
    """
    feeds = [
        Variable(dtype, dtype, dtype, (STRING_BYTES,) if dtype == "string" else (2, 3))
        for dtype in dtypes
    ]
    fetches = [
        one._replace(name="", alias=f"{one.alias}_1", dtype=one.dtype.replace("string", "uint8"))
        for one in feeds
    ]
    export(folder, _plus_one(feeds), feeds, fetches)


def make_all(folder: Path) -> None:
    """Writes every model below ``folder``."""
    import paddle

    paddle.enable_static()
    export(
        folder / "words",
        _words,
        [Variable("words", "words", "int64", (1,), True)],
        [Variable("", "sums", "float32", (1,))],
    )
    _export_types(folder / "numbers", ("float32", "int64", "int32", "string"))
    _export_types(folder / "packed", ("float16", "uint8", "int8"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    make_all(Path(sys.argv[1]))
