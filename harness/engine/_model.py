"""One loaded model (a core): the predictor, and what may be fed to it.

A core never changes after it was made: a reload makes a new one and drops the old. ``run`` takes
one query, ``run_together`` several at once; both are called from one thread only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import numpy as np

from . import _inference
from ._model_files import BadModel, Graph, Input, ModelFiles
from ._prototxt import Variable
from ._query import Array, Fetched, Query, ServiceError, inference_failed

# Free dimensions get this size when the core is tried out.
_TRIAL_DIM = 2
_LONGEST_REASON = 500
# phi's error class for memory (phi/core/enforce.h), the C++ library's word, and the system's.
_NO_MORE = (
    "(ResourceExhausted)",
    "bad_alloc",
    os.strerror(errno.EMFILE),
    os.strerror(errno.ENFILE),
    os.strerror(errno.ENOMEM),
)


@dataclass(frozen=True)
class Device:
    """Where and how the predictor runs; the launcher's options."""

    use_gpu: bool = False
    gpu_id: int = 0
    ir_optim: bool = False
    memory_optim: bool = False
    precision: str = "fp32"


# What decides whether queries may run together: for each feed its name and the shape of a row.
Key = tuple[tuple[str, tuple[int, ...]], ...]


class _Takes(NamedTuple):
    """An input as it is compared with every query. ``row`` is None where rows may differ."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    row: Optional[tuple[int, ...]]
    is_lod: bool


class Core:
    """One model in memory.

    ``files`` are open and were checked (``graph``); ``feeds`` and ``fetches`` come from the
    launcher's prototxt; ``together`` is known from a trial, or found out here. Raises
    ``BadModel`` when the predictor cannot be made, or does not fit the prototxt.
    """

    def __init__(
        self,
        files: ModelFiles,
        graph: Graph,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        device: Device,
        *,
        together: Optional[bool] = None,
    ) -> None:
        self._predictor: Any = _create(files, device)
        try:
            names = list(self._predictor.get_input_names())
            self._inputs: dict[str, Any] = {
                name: self._predictor.get_input_handle(name) for name in names
            }
            outputs = list(self._predictor.get_output_names())
            handles = [self._predictor.get_output_handle(name) for name in outputs]
        except Exception as error:
            raise BadModel(f"Paddle cannot name the model's inputs: {reason(error)}") from None
        self._graph = graph
        sequences = {feed.name for feed in feeds if feed.is_lod}
        self._takes = {one.name: _taken(one, one.name in sequences) for one in graph.inputs}
        for feed in feeds:
            if feed.name not in self._inputs:
                raise BadModel(
                    f"the prototxt has the feed {feed.name}, the model has {', '.join(names)}"
                )
        # By name; a fetch the model does not know by that name is taken by its place.
        self._outputs: list[tuple[Variable, Any]] = []
        for place, fetch in enumerate(fetches):
            if fetch.name in outputs:
                self._outputs.append((fetch, handles[outputs.index(fetch.name)]))
            elif place < len(handles):
                self._outputs.append((fetch, handles[place]))
            else:
                raise BadModel(
                    f"the prototxt has the fetch {fetch.name}, the model has {', '.join(outputs)}"
                )
        self._places = {fetch.alias: place for place, (fetch, _) in enumerate(self._outputs)}
        self.together = bool(together)
        if together is None:
            self._try_out()
        elif together:
            self._warm_up()

    def wanted(self, aliases: Sequence[str]) -> list[int]:
        """Places of the fetches asked for; none asked: all; an unknown alias: the first one."""
        if not aliases:
            return list(range(len(self._outputs)))
        return [self._places.get(alias, 0) for alias in aliases]

    def check(self, query: Query) -> Optional[Key]:
        """Whether the query fits the model: its key, or None when it has to run alone.

        Raises ``ServiceError`` (E-5100) with the reason.
        """
        if not query.tensors:
            raise inference_failed()
        key = []
        rows = -1
        alone = not self.together
        for name, array, lod in query.tensors:
            takes = self._takes.get(name)
            if takes is None:
                raise inference_failed(
                    f"there is no feed {name or '(without a name)'}; "
                    f"the model has {', '.join(self._takes)}"
                )
            dtype, shape = array.dtype, array.shape
            if dtype != takes.dtype:
                raise inference_failed(
                    f"feed {name} is {dtype.name}, the model takes {takes.dtype.name}"
                )
            # The rows of a sequence are what its lod makes of them; its rank is fixed all the same.
            sequence = lod and takes.is_lod and len(shape) == len(takes.shape)
            if shape[1:] != takes.row and not sequence and not _fits(shape, takes.shape):
                raise inference_failed(
                    f"feed {name} has the shape {list(shape)}, the model takes {list(takes.shape)}"
                )
            if lod or shape[0] == 0 or (rows >= 0 and rows != shape[0]):
                alone = True
            rows = shape[0]
            key.append((name, shape[1:]))
        if len(key) != len(self._takes) or (
            len(key) > 1 and len({name for name, _ in key}) != len(key)
        ):
            given = [name for name, _ in key]
            missing = [name for name in self._takes if name not in given]
            raise inference_failed(
                f"feed {', '.join(missing)} is missing" if missing else "a feed is given twice"
            )
        return None if alone else tuple(key)

    def run(self, query: Query) -> list[Fetched]:
        """Every fetch of the model for one query. Raises ``ServiceError`` when Paddle refuses."""
        try:
            for name, array, lod in query.tensors:
                handle = self._inputs[name]
                handle._copy_from_cpu_bind(array)
                if lod:
                    handle.set_lod([list(lod)])
            self._run()
            fetched = []
            for variable, handle in self._outputs:
                levels = handle.lod()
                fetched.append(
                    Fetched(variable, handle.copy_to_cpu(), tuple(levels[0]) if levels else ())
                )
            return fetched
        finally:
            # A lod stays with the input until it is set anew, whatever became of the query.
            for name, _, lod in query.tensors:
                if lod:
                    self._inputs[name].set_lod([])

    def run_together(self, queries: Sequence[Query]) -> list[list[Fetched]]:
        """One run for queries of one key. Raises ``ServiceError`` for all of them."""
        if len(queries) == 1:
            return [self.run(queries[0])]
        first = queries[0].tensors
        for place, (name, _, _) in enumerate(first):
            self._inputs[name]._copy_from_cpu_bind(
                np.concatenate([query.tensors[place].array for query in queries])
            )
        self._run()
        arrays = [(variable, handle.copy_to_cpu()) for variable, handle in self._outputs]
        answers = []
        start = 0
        for query in queries:
            end = start + query.tensors[0].array.shape[0]
            answers.append([Fetched(variable, array[start:end], ()) for variable, array in arrays])
            start = end
        return answers

    def _run(self) -> None:
        try:
            self._predictor.run()
        except Exception as error:
            raise inference_failed(f"Paddle refuses the feed: {reason(error)}") from None

    def _try_out(self) -> None:
        """Finds out ``together``.

        Queries may share a run when the rows of a batch do not see each other. That is tried:
        two random rows have to give the same apart and together.
        """
        random = np.random.default_rng(0)
        feeds = [_trial_array(one, random) for one in self._graph.inputs]
        if any(array is None for array in feeds):
            return
        tensors = [(name, array) for name, array in zip(self._takes, feeds) if array is not None]
        try:
            together = self._trial(tensors)
            apart = [
                self._trial([(name, array[row : row + 1]) for name, array in tensors])
                for row in range(_TRIAL_DIM)
            ]
        except Exception:
            # Random numbers need not suit the model: an embedding's index, for one.
            return
        self.together = all(
            whole.shape[:1] == (_TRIAL_DIM,)
            and all(
                part.shape == (1, *whole.shape[1:])
                and np.allclose(whole[row], part[0], rtol=1e-5, atol=1e-6, equal_nan=True)
                for row, part in enumerate(parts)
            )
            for whole, parts in zip(together, zip(*apart))
        )

    def _warm_up(self) -> None:
        """A first run, which allocates what Paddle allocates late."""
        random = np.random.default_rng(0)
        arrays = [(one.name, _trial_array(one, random)) for one in self._graph.inputs]
        self._trial([(name, array) for name, array in arrays if array is not None])

    def _trial(self, tensors: list[tuple[str, Array]]) -> list[Array]:
        for name, array in tensors:
            self._inputs[name]._copy_from_cpu_bind(array)
        self._predictor.run()
        return [handle.copy_to_cpu() for _, handle in self._outputs]


def _taken(one: Input, is_lod: bool) -> _Takes:
    free_rows = one.shape[:1] == (-1,) and all(dim >= 0 for dim in one.shape[1:])
    row = one.shape[1:] if free_rows else None
    return _Takes(np.dtype(one.dtype), one.shape, row, is_lod)


def _fits(shape: tuple[int, ...], takes: tuple[int, ...]) -> bool:
    return len(shape) == len(takes) and all(
        want < 0 or want == have for want, have in zip(takes, shape)
    )


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
        why = reason(error)
        raise BadModel(f"Paddle cannot load the model: {why}", passing=_passing(why)) from None


def _passing(why: str) -> bool:
    """Whether not the model is to blame, but this machine, which has no more of something now.

    Paddle passes the system's words on, or says only that it could not open a file.
    """
    if any(sign in why for sign in _NO_MORE):
        return True
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def reason(error: BaseException) -> str:
    """The sentence in one of Paddle's errors, which bring a C++ stack along."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for place, line in enumerate(lines):
        if line.startswith("Error Message Summary") and place + 2 < len(lines):
            return " ".join(lines[place + 2 : place + 4])
    # Without that header the reason comes first, and last only where in the model it was.
    return " ".join(lines[:3])[:_LONGEST_REASON] if lines else type(error).__name__


__all__ = ["BadModel", "Core", "Device", "Key", "ServiceError", "reason"]
