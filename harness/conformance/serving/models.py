"""Makes the models that the checks and the benchmarks serve.

    python harness/conformance/serving/models.py FOLDER

writes, each with the server's and the client's configuration, in Serving's format:

    FOLDER/uci, uci_2     price = w·x + b with fixed weights, so that answers can be computed
    FOLDER/two            two inputs of different types (float32 [3], int64 [2]) and two outputs
                          (float32 [2], int64 [1]), rows independent of each other

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


class Variable(NamedTuple):
    """One feed or fetch, as the prototxt wants it; the shape is without the batch."""

    name: str
    alias: str
    dtype: str
    shape: tuple[int, ...]
    is_lod: bool = False


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


def export(
    folder: Path, build: Any, feeds: Sequence[Variable], fetches: Sequence[Variable]
) -> None:
    """Build a model, and write it into a folder as a server reads it."""
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


def parameter(paddle: Any, value: Any) -> Any:
    """Return a parameter of a model with this value."""
    return paddle.static.create_parameter(
        list(value.shape),
        str(value.dtype),
        default_initializer=paddle.nn.initializer.Assign(value),
    )


def _uci(release: int) -> Any:
    def build(paddle: Any) -> tuple[list[Any], list[Any]]:
        # Exact in float32, different in each release.
        weights = np.arange(1, 14, dtype="float32").reshape(13, 1) * release
        bias = np.array([release], "float32")
        x = paddle.static.data("x", [None, 13], "float32")
        return [x], [paddle.matmul(x, parameter(paddle, weights)) + parameter(paddle, bias)]

    return build


def _two(paddle: Any) -> tuple[list[Any], list[Any]]:
    left = paddle.static.data("left", [None, 3], "float32")
    right = paddle.static.data("right", [None, 2], "int64")
    mixed = paddle.matmul(left, parameter(paddle, np.ones((3, 2), "float32")))
    return [left, right], [
        mixed + paddle.cast(right, "float32"),
        paddle.sum(right, axis=1, keepdim=True),
    ]


def make_all(folder: Path) -> None:
    """Writes every model below ``folder``."""
    import paddle

    paddle.enable_static()
    x = [Variable("x", "x", "float32", (13,))]
    price = [Variable("", "price", "float32", (1,))]
    export(folder / "uci", _uci(1), x, price)
    export(folder / "uci_2", _uci(2), x, price)
    export(
        folder / "two",
        _two,
        [Variable("left", "l", "float32", (3,)), Variable("right", "r", "int64", (2,))],
        [Variable("", "mixed", "float32", (2,)), Variable("", "total", "int64", (1,))],
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    make_all(Path(sys.argv[1]))
