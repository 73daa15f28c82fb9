"""Asks an exported model folder for predictions, with Paddle Inference in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ProducerError
from .paddle_import import inference

# Serving finds the files by suffix, in this order (facts of paddle_serving_server 0.9.0).
_GRAPHS = (".pdmodel", "__model__", "model")
_PARAMETERS = (".pdiparams", "__params__", "params")


class Predictor:
    """One loaded model. ``inputs`` and ``outputs`` are Paddle's names, in the model's order.

    Raises ``ProducerError`` when ``folder`` holds no model. For a damaged model, Paddle raises any
    error or ends the process. So load an untrusted model in a process of its own.
    """

    def __init__(self, folder: Path) -> None:
        library = inference()
        graph, parameters = _find(folder, _GRAPHS), _find(folder, _PARAMETERS)
        config = library.AnalysisConfig(str(graph), str(parameters))
        config.disable_gpu()
        config.disable_glog_info()
        self._predictor: Any = library.create_predictor(config)
        self.inputs: list[str] = list(self._predictor.get_input_names())
        self.outputs: list[str] = list(self._predictor.get_output_names())

    def __call__(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """Return predictions by output name; ``feed`` maps every input name to an array."""
        for name in self.inputs:
            array = np.ascontiguousarray(feed[name])
            handle = self._predictor.get_input_handle(name)
            handle.reshape(array.shape)
            # ``copy_from_cpu`` calls this method, but exists only in Paddle's Python part.
            handle._copy_from_cpu_bind(array)
        self._predictor.run()
        return {
            name: self._predictor.get_output_handle(name).copy_to_cpu() for name in self.outputs
        }


def _find(folder: Path, suffixes: tuple[str, ...]) -> Path:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise ProducerError(
            f"the model folder {folder} cannot be read: {error.strerror}; name a model's folder"
        ) from None
    for suffix in suffixes:
        for name in names:
            if name.endswith(suffix) and not name.startswith("."):
                return folder / name
    raise ProducerError(
        f"the model folder {folder} has no file that ends in {' or '.join(suffixes)}; "
        "export it for Serving"
    )
