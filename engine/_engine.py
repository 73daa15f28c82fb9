"""The engine: one event loop, and one model at a time in a process of its own.

    main thread       the event loop: sockets, parsing, batches, answers, log
    reload thread     watches the time file, loads a new model, and gives it to the loop
    model's process   predictor.run(); the main thread asks it and waits

The new model takes over between two batches, in one step for all clients. The old one is dropped
at once. On a GPU, and with ``--strict-compat``, the model is in the engine's own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from typing import Optional

from . import __version__, _inference, _reload
from ._batcher import Batcher
from ._codec_protobuf import ProtobufCodec
from ._connection import Connection
from ._core import Device
from ._flags import Flags
from ._fork_server import ForkServer
from ._glog import Log
from ._loading import Loader
from ._model import Model
from ._model_files import BadModel
from ._prototxt import Refused, Serving
from ._query import ServiceError
from ._routes import FULL_SERVICE

_BACKLOG = 1024
# A thread that waits for the interpreter gets it after so many seconds (default 5 ms). The loop
# and the reload thread must not wait long for each other.
_SWITCH_INTERVAL_S = 0.0005
_STARTED = "C++ Serving service started successfully!"
_SERVICE_CLASS = FULL_SERVICE.rpartition(".")[0].replace(".", "::") + "::GeneralModelServiceImpl"


class CannotServe(Exception):
    """The engine cannot start. The text is one sentence for people; the log has the reason too."""


class Engine:
    """Everything that one run of the engine holds.

    Args:
        flags: The launcher's flags.
        serving: What to serve.
        log: The log.
        host: The address to bind.
        strict: Die where the real server dies.

    Raises:
        CannotServe: The real server could not start either.
        Refused: Only this engine cannot serve it.
    """

    def __init__(
        self,
        flags: Flags,
        serving: Serving,
        log: Log,
        *,
        host: str,
        strict: bool = False,
    ) -> None:
        self.flags = flags
        self.serving = serving
        self.log = log
        self.limit = flags.number("max_body_size")
        self.protobuf = ProtobufCodec()
        self._host = host
        self._threads = max(1, flags.number("num_threads"))
        device = Device(
            use_gpu=serving.use_gpu,
            gpu_id=serving.gpu_id,
            ir_optim=serving.ir_optim,
            memory_optim=serving.memory_optim,
            precision=flags.text("precision"),
        )
        if device.use_gpu and not _inference.library().is_compiled_with_cuda():
            raise Refused(
                "--gpu_ids asks for a GPU, but the paddlepaddle beside the engine is built for "
                "the CPU; install the GPU packages, or leave --gpu_ids out"
            )
        self.strict = strict
        fork_server = None if strict else ForkServer(serving.feeds, serving.fetches)
        self._loader = Loader(serving, device, log, self._threads, fork_server)
        self._model: Model = self._first_model()
        # Whether the model's process has ended, so that every query fails.
        self._ended = False
        self.batcher: Batcher
        self._loop: asyncio.AbstractEventLoop
        self._quitting: asyncio.Event
        self._reloading: _reload.ReloadThread

    def page(self, name: str) -> str:
        """Return the text of a builtin page."""
        if name == "health":
            return "OK"
        if name == "version":
            return f"embedded-serving {__version__}, standing in for serving 0.9.0"
        counters = self.batcher.counters
        return (
            f"version: {FULL_SERVICE}\nnon_service_error: 0\n\n"
            f"{FULL_SERVICE}\ninference (Request) returns (Response)\n"
            f"count: {counters.succeeded}\nerror: {counters.failed}\n"
        )

    # start

    def _first_model(self) -> Model:
        serving, log = self.serving, self.log
        self._seen = _reload.look(serving.time_file)
        if self._seen is None:
            log.error_line("infer.cpp:34", f"Failed load model_data_path: {serving.time_file}")
            raise CannotServe(
                f"the time file {serving.time_file} cannot be read; "
                "start the launcher, which makes it"
            )
        try:
            model = self._loader.load()
        except BadModel as error:
            self._die_if_strict(error.real_signal, str(error))
            self._loader.log_failure(error)
            raise CannotServe(
                f"cannot load the model in {serving.model_dir}: {error}; put a whole model there"
            ) from None
        log.warning_line("infer.cpp:43", f"Succ load model:{serving.model_dir}")
        log.warning_line(
            "infer.cpp:234", f"Succ proc initialize version engine: {_reload.NO_VERSION}"
        )
        log.warning_line("infer.cpp:429", f"Succ proc initialize engine: {serving.engine_name}")
        log.info_line(
            "manager.h:86",
            f"Succ init item:{serving.workflow_name} from conf:{serving.workflow_file}, at:0!",
        )
        for service in serving.services:
            log.info_line("service.cpp:127", f"Succ load infer_service: {service}!")
        return model

    async def serve(self) -> None:
        """Bind, serve until SIGINT, and return. Raises ``CannotServe`` when it cannot bind."""
        self._loop = asyncio.get_running_loop()
        self._quitting = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGINT, self._quitting.set)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self.batcher = Batcher(
            self._loop,
            model=lambda: self._model,
            log=self.log,
            engine_name=self.serving.engine_name,
            nodes=self.serving.nodes,
            on_failure=self._query_failed,
        )
        interval = self.flags.number("reload_interval_s")
        self._reloading = reload = _reload.ReloadThread(
            self.log,
            self.serving.time_file,
            interval,
            self._seen,
            self._reload,
            needed=lambda: self._ended,
        )
        server = await self._listen()
        self.log.info_line("server.cpp:152", f"Entrence reload worker, interval_s: {interval}")
        self._loader.log_workers()
        self.log.info_line(
            "server.cpp:1046", f"Server[{_SERVICE_CLASS}] is serving on port={self.serving.port}."
        )
        self.log.info_line("server.cpp:101", _STARTED)
        # Also on standard output, whose reader may be gone.
        with contextlib.suppress(OSError, ValueError):
            print(_STARTED, flush=True)
        self._model.watch(self._loop, self._model_ended)
        reload.start()
        await self._quitting.wait()
        self.log.info_line("server.cpp:1101", f"Server[{_SERVICE_CLASS}] is going to quit")
        server.close()
        reload.stop()
        # The loop answers the last requests while the reload thread ends its sleep.
        await self._loop.run_in_executor(None, reload.join)
        self.log.info_line("server.cpp:167", "Exit reload worker!")

    async def _listen(self) -> asyncio.AbstractServer:
        port = self.serving.port
        try:
            return await self._loop.create_server(
                lambda: Connection(self), self._host, port, backlog=_BACKLOG, reuse_address=True
            )
        # UnicodeError: the host cannot be a name at all.
        except (OSError, UnicodeError) as error:
            self.log.error_line("server.cpp:956", f"Fail to listen {self._host}:{port}")
            raise CannotServe(
                f"cannot listen on {self._host}:{port}: {error}; choose a port that is free, and "
                "an ENGINE_HOST that is an address of this machine"
            ) from None

    # reload

    def _reload(self) -> bool:
        """Runs in the reload thread. Raises ``NotNow``."""
        model_dir = self.serving.model_dir
        self.log.warning_line("infer.cpp:134", f"begin reload model[{model_dir}].")
        try:
            model = self._loader.load()
        except BadModel as error:
            self._die_if_strict(error.real_signal, str(error))
            self._loader.log_failure(error)
            if error.passing:
                raise _reload.NotNow from None
            return False
        except Exception as error:
            # This thread has to live on, whatever a model causes.
            self._loader.log_failure(BadModel(f"{type(error).__name__}: {error}"))
            return False
        old = self._swap(model)
        self._loader.log_workers()
        self.log.warning_line("infer.h:239", f"Succ load engine, path: {model_dir}")
        self.log.info_line("request_cache.cpp:230", "Clear 0 key!")
        old.close()
        return True

    def _swap(self, model: Model) -> Model:
        """Give the model to the loop, wait until the loop uses it, and return the old model."""
        done = threading.Event()
        before: list[Model] = []

        def take() -> None:
            before.append(self._model)
            self._model.unwatch(self._loop)
            self._model = model
            self._ended = False
            model.watch(self._loop, self._model_ended)
            done.set()

        self._loop.call_soon_threadsafe(take)
        done.wait()
        return before.pop()

    def _model_ended(self) -> None:
        self.log.error_line(
            "infer.h:438", "The process in which the model ran has ended; loading the model again"
        )
        self._ended = True
        self._reloading.hurry()

    # --strict-compat

    def _query_failed(self, error: ServiceError) -> None:
        if error.real_dies:
            self._die_if_strict(signal.SIGABRT, error.text)

    def _die_if_strict(self, signum: Optional[signal.Signals], reason: str) -> None:
        """Die of the signal that kills the real server; ``None`` where the real server goes on."""
        if not self.strict or signum is None:
            return
        if signum == signal.SIGABRT:
            sys.stderr.write(
                "terminate called after throwing an instance of 'phi::enforce::EnforceNotMet'\n"
                f"  what():  {reason}\n"
            )
            sys.stderr.flush()
        # To this thread, so that it does not continue before the signal arrives.
        signal.pthread_kill(threading.get_ident(), signum)


def run(engine: Engine) -> None:
    """Serves on uvloop until SIGINT."""
    import uvloop

    with contextlib.closing(uvloop.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(engine.serve())
