"""Loads a model out of a model directory, with the real server's lines about it in the log."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Optional

from ._core import Core, Device, passes, reason
from ._fork_server import ForkServer
from ._glog import Log
from ._gpu_cross_check import ask_both
from ._model import Model
from ._model_files import BadModel, ModelFiles, check, opened
from ._process import ModelProcess
from ._prototxt import Serving


class Loader:
    """Loads the one model that ``serving`` names. ``workers`` is the launcher's ``--thread``.

    The real server has a copy of the predictor for each worker and one more, and logs each; the
    engine's one model serves them all, but the lines are the same, because readers count them.

    Without a ``fork_server`` (``--strict-compat``) files are chosen as the real server chooses
    them, nothing is checked before Paddle has it, and what Paddle refuses ends the process, as the
    real server ends.

    There, and on a GPU, one thread makes, tries and closes all models, and the event loop's runs
    them all. Paddle keeps something for each thread. This did no harm in hundreds of reloads under
    load: the maker never ends, and no model is closed while it runs.
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
        serving = self._serving
        with opened(serving.model_dir, first_listed=self._fork_server is None) as files:
            if self._fork_server is None:
                graph = check(files, whole=False)
                return Core(files, graph, serving.feeds, serving.fetches, self._device)
            if not self._device.use_gpu:
                return self._fork_server.load(files, self._device)
            # A forked process cannot be relied on to have CUDA. What is wrong with the files
            # shows on the CPU as well; so there they are tried out, and then loaded here.
            on_cpu = replace(self._device, use_gpu=False, precision="fp32")
            tried = self._fork_server.load(files, on_cpu)
            with closing(tried):
                return self._on_gpu(files, tried)

    def _on_gpu(self, files: ModelFiles, tried: ModelProcess) -> Core:
        """The model that ``tried`` has on the CPU. Raises ``BadModel`` when it cannot be made
        there, or does not answer as on the CPU."""
        core: Optional[Core] = None
        feeds, fetches = self._serving.feeds, self._serving.fetches
        try:
            core = Core(files, tried.graph, feeds, fetches, self._device, together=tried.together)
            ask_both(core, tried, tried.graph)
        except Exception as error:
            if core is not None:
                core.close()
            if isinstance(error, BadModel):
                raise
            # Of a library of CUDA's that is not there, only a run tells.
            why = reason(error)
            refused = f"the GPU refuses what the CPU takes: {why}; leave --gpu_ids out"
            raise BadModel(refused, passing=passes(why)) from None
        return core

    def log_workers(self) -> None:
        """The lines of every worker that takes the new core."""
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
        # From reload to reload the two places of a worker's cores take turns.
        self._index = 1 - self._index

    def log_failure(self, error: BadModel) -> None:
        path = self._serving.model_dir
        self._log.error_line("paddle_engine.h:167", f"create paddle predictor failed, {error}")
        self._log.error_line("infer.h:438", f"Failed create model, path: {path}")
