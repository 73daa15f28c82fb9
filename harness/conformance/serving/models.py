"""Makes the models that the conformance checks, the benchmark and the engine's tests serve.

    python harness/conformance/serving/models.py FOLDER

writes, each with the server's and the client's configuration, in Serving's format:

    FOLDER/uci, uci_2     price = w·x + b with fixed weights, so that answers can be computed
    FOLDER/two            two inputs of different types (float32 [3], int64 [2]) and two outputs
                          (float32 [2], int64 [1]), rows independent of each other
    FOLDER/words          a sequence: lod tensor of int64 in, the sum of each sequence out
    FOLDER/mean           the mean over the batch: rows that do see each other
    FOLDER/numbers        the types that HttpClient can send: float32, int64, int32 and a string
    FOLDER/packed         those that the compiled client sends besides: float16, uint8, int8
    FOLDER/others         those that Paddle takes and no client sends: float64 and bool

The last three add one to everything that they are fed and give it back in its type.

Needs paddle, and takes some seconds for importing it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TYPE_CODES = {
    "int64": 0,
    "float32": 1,
    "int32": 2,
    "float64": 3,
    "float16": 5,
    "uint8": 7,
    "int8": 8,
    "bool": 9,
    "string": 20,
}
# The bytes of a string feed: five characters and the 0 behind them.
STRING_BYTES = 6


class Variable(NamedTuple):
    """One feed or fetch, as the prototxt wants it; the shape is without the batch."""

    name: str
    alias: str
    dtype: str
    shape: tuple[int, ...]
    is_lod: bool = False


def uci_weights(release: int) -> tuple[Any, Any]:
    """Weights [13, 1] and bias [1] of a release: exact in float32, different in each."""
    return (
        np.arange(1, 14, dtype="float32").reshape(13, 1) * release,
        np.array([release], "float32"),
    )


def uci_price(release: int, x: Any) -> Any:
    """What the model answers for rows of 13."""
    weights, bias = uci_weights(release)
    return np.asarray(x, "float32") @ weights + bias


def _prototxt(feeds: Sequence[Variable], fetches: Sequence[Variable]) -> str:
    lines = []
    for block, kind, variables in (("feed_var", "feed", feeds), ("fetch_var", "fetch", fetches)):
        for one in variables:
            lines.append(f"{block} {{")
            lines.append(f'  name: "{one.name}"')
            lines.append(f'  alias_name: "{one.alias}"')
            lines.append(f"  is_lod_tensor: {'true' if one.is_lod else 'false'}")
            lines.append(f"  {kind}_type: {TYPE_CODES[one.dtype]}")
            lines += [f"  shape: {dim}" for dim in one.shape]
            lines.append("}")
    return "\n".join(lines) + "\n"


def _export(
    folder: Path, build: Any, feeds: Sequence[Variable], fetches: Sequence[Variable]
) -> None:
    import paddle

    main, startup = paddle.static.Program(), paddle.static.Program()
    scope = paddle.static.Scope()
    with paddle.static.scope_guard(scope), paddle.static.program_guard(main, startup):
        inputs, outputs = build(paddle)
        executor = paddle.static.Executor(paddle.CPUPlace())
        executor.run(startup)
        folder.mkdir(parents=True, exist_ok=True)
        paddle.static.save_inference_model(
            str(folder / "model"), inputs, outputs, executor, program=main
        )
    (folder / "model.pdiparams").rename(folder / "params.pdiparams")
    # The exporter names the outputs; ask the file.
    config = paddle.inference.Config(
        str(folder / "model.pdmodel"), str(folder / "params.pdiparams")
    )
    config.disable_glog_info()
    names = paddle.inference.create_predictor(config).get_output_names()
    named = [one._replace(name=name) for one, name in zip(fetches, names)]
    text = _prototxt(feeds, named)
    (folder / "serving_server_conf.prototxt").write_text(text)
    client = folder.parent / f"{folder.name}_client"
    client.mkdir(exist_ok=True)
    (client / "serving_client_conf.prototxt").write_text(text)


def _parameter(paddle: Any, value: Any) -> Any:
    return paddle.static.create_parameter(
        list(value.shape),
        str(value.dtype),
        default_initializer=paddle.nn.initializer.Assign(value),
    )


def _uci(release: int) -> Any:
    def build(paddle: Any) -> tuple[list[Any], list[Any]]:
        weights, bias = uci_weights(release)
        x = paddle.static.data("x", [None, 13], "float32")
        return [x], [paddle.matmul(x, _parameter(paddle, weights)) + _parameter(paddle, bias)]

    return build


def _two(paddle: Any) -> tuple[list[Any], list[Any]]:
    left = paddle.static.data("left", [None, 3], "float32")
    right = paddle.static.data("right", [None, 2], "int64")
    mixed = paddle.matmul(left, _parameter(paddle, np.ones((3, 2), "float32")))
    return [left, right], [
        mixed + paddle.cast(right, "float32"),
        paddle.sum(right, axis=1, keepdim=True),
    ]


def _mean(paddle: Any) -> tuple[list[Any], list[Any]]:
    x = paddle.static.data("x", [None, 13], "float32")
    shifted = x + paddle.mean(x, axis=0, keepdim=True)
    return [x], [shifted * _parameter(paddle, np.ones((1, 13), "float32"))]


def _words(paddle: Any) -> tuple[list[Any], list[Any]]:
    words = paddle.static.data("words", [None, 1], "int64", lod_level=1)
    one = _parameter(paddle, np.ones((1, 1), "float32"))
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
        one = _parameter(paddle, np.ones((1,), "float32"))
        inputs, outputs = [], []
        for feed in feeds:
            dtype = "uint8" if feed.dtype == "string" else feed.dtype
            # float32 does not hold every int64.
            wide = dtype if dtype in ("int64", "float64") else "float32"
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
    _export(folder, _plus_one(feeds), feeds, fetches)


def make_all(folder: Path) -> None:
    """Writes every model below ``folder``."""
    import paddle

    paddle.enable_static()
    x = [Variable("x", "x", "float32", (13,))]
    price = [Variable("", "price", "float32", (1,))]
    _export(folder / "uci", _uci(1), x, price)
    _export(folder / "uci_2", _uci(2), x, price)
    _export(folder / "mean", _mean, x, [Variable("", "shifted", "float32", (13,))])
    _export(
        folder / "two",
        _two,
        [Variable("left", "l", "float32", (3,)), Variable("right", "r", "int64", (2,))],
        [Variable("", "mixed", "float32", (2,)), Variable("", "total", "int64", (1,))],
    )
    _export(
        folder / "words",
        _words,
        [Variable("words", "words", "int64", (1,), True)],
        [Variable("", "sums", "float32", (1,))],
    )
    _export_types(folder / "numbers", ("float32", "int64", "int32", "string"))
    _export_types(folder / "packed", ("float16", "uint8", "int8"))
    _export_types(folder / "others", ("float64", "bool"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    make_all(Path(sys.argv[1]))
