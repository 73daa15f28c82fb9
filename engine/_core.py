"""A model in this process: Paddle's predictor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from . import _inference
from ._model import Model, Output
from ._model_files import BadModel, Graph, Input, ModelFiles
from ._prototxt import Variable
from ._query import Array, ServiceError, Tensor, inference_failed

# Free dimensions get this size in a trial.
_TRIAL_DIM = 2
_LONGEST_REASON = 500


@dataclass(frozen=True)
class Device:
    """Where and how the predictor runs; the launcher's options."""

    # Whether the model runs on a GPU.
    use_gpu: bool = False
    # The GPU's number, if there is one.
    gpu_id: int = 0
    # Whether Paddle optimises the graph (`--ir_optim`).
    ir_optim: bool = False
    # Whether Paddle reuses memory (`--mem_optim`).
    memory_optim: bool = False
    # The number format of the computation (`--precision`).
    precision: str = "fp32"


class Core(Model):
    """One model in memory.

    Args:
        files: The files, open and checked.
        graph: What the program says.
        feeds: The prototxt's feeds.
        fetches: The prototxt's fetches.
        device: Where and how it runs.

    Raises:
        BadModel: The predictor cannot be made, or does not fit the prototxt.
    """

    def __init__(
        self,
        files: ModelFiles,
        graph: Graph,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        device: Device,
    ) -> None:
        super().__init__(graph, feeds, fetches)
        self._predictor: Any = _create(files, device)
        try:
            names = list(self._predictor.get_input_names())
            self._handles: dict[str, Any] = {
                name: self._predictor.get_input_handle(name) for name in names
            }
            outputs = list(self._predictor.get_output_names())
            handles = [self._predictor.get_output_handle(name) for name in outputs]
        except Exception as error:
            raise BadModel(f"Paddle cannot name the model's inputs: {reason(error)}") from None
        self._graph = graph
        for feed in feeds:
            if feed.name not in self._handles:
                raise BadModel(
                    f"the prototxt has the feed {feed.name}, the model has {', '.join(names)}"
                )
        # By name, or by place if the model has no output of that name.
        self._outputs: list[Any] = []
        for place, fetch in enumerate(fetches):
            if fetch.name in outputs:
                self._outputs.append(handles[outputs.index(fetch.name)])
            elif place < len(handles):
                self._outputs.append(handles[place])
            else:
                raise BadModel(
                    f"the prototxt has the fetch {fetch.name}, the model has {', '.join(outputs)}"
                )

    def feed(self, tensors: Sequence[Tensor]) -> list[Output]:
        try:
            for name, array, lod in tensors:
                handle = self._handles[name]
                handle._copy_from_cpu_bind(array)
                if lod:
                    handle.set_lod([list(lod)])
            try:
                self._predictor.run()
            except Exception as error:
                raise inference_failed(f"Paddle refuses the feed: {reason(error)}") from None
            outputs: list[Output] = []
            for handle in self._outputs:
                levels = handle.lod()
                outputs.append((handle.copy_to_cpu(), tuple(levels[0]) if levels else ()))
            return outputs
        finally:
            # Otherwise a lod stays with the input for the next query.
            for name, _, lod in tensors:
                if lod:
                    self._handles[name].set_lod([])

    def watch(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        """Do nothing: the model serves as long as the engine."""

    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do nothing."""

    def close(self) -> None:
        # The handles keep the predictor's memory as well.
        self._handles.clear()
        self._outputs.clear()
        self._predictor = None

    def warm_up(self) -> None:
        """Run once, which allocates what Paddle allocates late."""
        # The model may refuse random numbers, for example as the index of an embedding.
        with suppress(ServiceError):
            self.feed(trial_feed(self._graph))


def trial_feed(graph: Graph) -> list[Tensor]:
    """Return two rows for every input that takes any number of them, the same at each call."""
    random = np.random.default_rng(0)
    arrays = [(one.name, _trial_array(one, random)) for one in graph.inputs]
    return [Tensor(name, array, ()) for name, array in arrays if array is not None]


def _trial_array(takes: Input, random: np.random.Generator) -> Optional[Array]:
    if not takes.shape or takes.shape[0] != -1:
        return None
    shape = [_TRIAL_DIM if dim < 0 else dim for dim in takes.shape]
    if takes.dtype.startswith("float"):
        return random.standard_normal(shape).astype(takes.dtype)
    # 0 and 1 are the values that an index, a flag and a count can all have.
    return random.integers(0, 2, shape).astype(takes.dtype)


def _create(files: ModelFiles, device: Device) -> Any:
    library = _inference.library()
    config = library.AnalysisConfig(files.program_path, files.params_path)
    config.disable_glog_info()
    if device.use_gpu:
        config.enable_use_gpu(100, device.gpu_id)
    else:
        config.disable_gpu()
        config.set_cpu_math_library_num_threads(1)
        if device.precision == "bf16":
            config.enable_mkldnn()
            config.enable_mkldnn_bfloat16()
    config.switch_ir_optim(device.ir_optim)
    if device.memory_optim:
        config.enable_memory_optim(True)
    try:
        return library.create_predictor(config)
    except Exception as error:
        raise BadModel(f"Paddle cannot load the model: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Return the sentence of one of Paddle's errors, without the C++ stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for place, line in enumerate(lines):
        if line.startswith("Error Message Summary") and place + 2 < len(lines):
            return " ".join(lines[place + 2 : place + 4])
    # Without that header the first lines have the reason, and the last ones the place in the model.
    return " ".join(lines[:3])[:_LONGEST_REASON] if lines else type(error).__name__
