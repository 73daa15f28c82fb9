"""Loads a model from its directory, and writes the real server's lines about it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Optional

from ._core import Core, Device, reason
from ._fork_server import ForkServer
from ._glog import Log
from ._gpu_cross_check import ask_both
from ._model import Model
from ._model_files import BadModel, ModelFiles, check, opened
from ._process import ModelProcess
from ._prototxt import Serving


class Loader:
    """Loads the one model that ``serving`` names.

    Without a ``fork_server`` (``--strict-compat``) the model is loaded as the real server loads it:
    files are chosen by its rule, and Paddle gets them unchecked.

    In this mode, and on a GPU, the reload thread makes, tries and closes all models, and the event
    loop's thread runs them. No model is closed while it runs.

    Args:
        serving: What to serve.
        device: Where and how it runs.
        log: The log.
        workers: The launcher's ``--thread``. The real server has a model for each worker and one
            more, and logs each. Some readers of the log count these lines.
        fork_server: Loads each model in a process of its own.
    """

    def __init__(
        self,
        serving: Serving,
        device: Device,
        log: Log,
        workers: int,
        fork_server: Optional[ForkServer],
    ) -> None:
        self._serving = serving
        self._device = device
        self._log = log
        self._workers = workers
        self._fork_server = fork_server
        self._index = 0

    def load(self) -> Model:
        """Return a new model. Raises ``BadModel``; nothing of the attempt is kept then."""
        with opened(self._serving.model_dir, first_listed=self._fork_server is None) as files:
            try:
                model = self._made(files)
            except BadModel as error:
                raise files.changed() or error from None
            changed = files.changed()
            if changed:
                model.close()
                raise changed
            return model

    def _made(self, files: ModelFiles) -> Model:
        serving = self._serving
        if self._fork_server is None:
            graph = check(files, whole=False)
            return Core(files, graph, serving.feeds, serving.fetches, self._device)
        if not self._device.use_gpu:
            return self._fork_server.load(files, self._device)
        # CUDA does not survive a fork. Wrong files show on the CPU as well, so a process there
        # tries them before the engine loads them.
        on_cpu = replace(self._device, use_gpu=False, precision="fp32")
        with closing(self._fork_server.load(files, on_cpu)) as tried:
            return self._on_gpu(files, tried)

    def _on_gpu(self, files: ModelFiles, tried: ModelProcess) -> Core:
        """Return on the GPU the model that ``tried`` has on the CPU.

        Raises:
            BadModel: It cannot be made there, or does not answer as on the CPU.
        """
        core: Optional[Core] = None
        feeds, fetches = self._serving.feeds, self._serving.fetches
        try:
            core = Core(files, tried.graph, feeds, fetches, self._device)
            ask_both(core, tried, tried.graph)
        except Exception as error:
            if core is not None:
                core.close()
            if isinstance(error, BadModel):
                raise
            # Only a run shows that a library of CUDA is missing.
            refused = f"the GPU refuses what the CPU takes: {reason(error)}; leave --gpu_ids out"
            raise BadModel(refused) from None
        return core

    def log_workers(self) -> None:
        """Log the lines of every worker that takes the new model."""
        log = self._log
        for tid in range(log.tid + 1, log.tid + 2 + self._workers):
            log.warning_line("infer.h:434", f"tid:{tid} Loading clone model ...", tid)
            if tid == log.tid + 1:
                log.warning_line("infer.h:447", f"create cube cache[{self._index}] done.", tid)
            else:
                log.warning_line("infer.h:474", f"tid:{tid} clone caches done", tid)
            done = (
                f"[{tid}] Reload clone model and cube cache done. "
                f"switching to current_idx[{self._index}]"
            )
            log.warning_line("infer.h:481", done, tid)
        # The two places of a worker's models take turns.
        self._index = 1 - self._index

    def log_failure(self, error: BadModel) -> None:
        path = self._serving.model_dir
        self._log.error_line("paddle_engine.h:167", f"create paddle predictor failed, {error}")
        self._log.error_line("infer.h:438", f"Failed create model, path: {path}")
