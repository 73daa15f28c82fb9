"""The process from which model processes are forked, and the engine's handle on it.

    engine ──both files, one end of a channel──▶ fork server ──fork──▶ model process: check, load
    engine ◀──────────────pid─────────────────── fork server
    engine ◀═══════════════ the result of the load, then queries ═════▶ model process

The fork server has Paddle Inference loaded and warm, so a model process imports nothing. Each
load gets a new process, which ends when the engine closes the channel. Paddle ends its process on
some damaged programs; the engine then goes on with the model that it has.

This is not the fork server of ``multiprocessing``. That one adds a resource tracker, and leaves a
socket in the temporary directory after a ``kill -9``. Its children do not outlive it.

The fork server ends with the engine. If it ends earlier, the next load starts another one. A model
process that serves lives on without it.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, Optional, Union

from ._core import Core, Device, reason
from ._inference import library, package_folder
from ._model_files import BadModel, Graph, ModelFiles, check, framework
from ._process import Gone, ModelProcess, end_with_parent, serve
from ._prototxt import Variable

# A request names the directory, the feeds and the fetches; a socket message takes some 200 KB.
_MAX_REQUEST = 128 * 1024
_NOT_LOADED = "the model could not be loaded"


class ForkServer:
    """The engine's handle on the fork server, which it starts.

    Args:
        feeds: The prototxt's feeds.
        fetches: The prototxt's fetches.

    Raises:
        ImportError: paddlepaddle is not installed.
    """

    def __init__(self, feeds: Sequence[Variable], fetches: Sequence[Variable]) -> None:
        package_folder()
        self._feeds = feeds
        self._fetches = fetches
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # This very package, wherever the interpreter found it.
        root = str(Path(__file__).resolve().parents[1])
        code = f"import sys; sys.path[0] = {root!r}; from {__name__} import main; main()"
        words = [str(theirs.fileno()), str(os.getpid())]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *words],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._socket = ours
        self._gone = False

    def load(self, files: ModelFiles, device: Device) -> ModelProcess:
        """Return a model that has loaded and run. Raises ``BadModel`` with the reason."""
        try:
            if self._gone:
                self._socket.close()
                self._process.wait()
                self._start()
            return self._load(files, device)
        except ConnectionError:
            self._gone = True
            raise BadModel(f"{_NOT_LOADED}: the process for it is gone", passing=True) from None
        except OSError as error:
            raise BadModel(f"{_NOT_LOADED}: {error}") from None

    def _load(self, files: ModelFiles, device: Device) -> ModelProcess:
        request = pickle.dumps((files.directory, device, self._feeds, self._fetches))
        ours, theirs = socket.socketpair()
        channel = Connection(ours.detach())
        try:
            with theirs:
                socket.send_fds(
                    self._socket, [request], [files.program, files.params, theirs.fileno()]
                )
            pid = self._socket.recv(_MAX_REQUEST)
            if not pid:
                raise ConnectionResetError
            try:
                found = channel.recv()
            except (EOFError, ConnectionError):
                raise BadModel("loading it ended a process: the program is damaged") from None
            if isinstance(found, BadModel):
                raise found
        except BaseException:
            channel.close()
            raise
        return ModelProcess(channel, int(pid), found, self._feeds, self._fetches)


def main() -> NoReturn:
    """Be the fork server. ``sys.argv`` has what ``ForkServer`` gives it."""
    descriptor, engine = sys.argv[1:]
    end_with_parent(signal.SIGKILL)
    # The launcher's ``stop`` signals the whole group; the engine decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library()
    framework()
    # No model process becomes a zombie.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    while os.getppid() == int(engine):
        request, files, _, _ = socket.recv_fds(control, _MAX_REQUEST, 3)
        if not request:
            break
        pid = os.fork()
        if pid == 0:
            try:
                # An open copy here would keep the engine from seeing the fork server's end.
                control.close()
                _live(pickle.loads(request), *files)
            finally:
                os._exit(0)
        for file in files:
            os.close(file)
        control.send(str(pid).encode())
    os._exit(0)


def _live(asked: Any, program: int, params: int, descriptor: int) -> None:
    """Be a model process: load the model, say how it went, and serve until the channel closes."""
    # A load that hangs ends with the fork server. A model that serves lives on.
    end_with_parent(signal.SIGKILL)
    channel = Connection(descriptor)
    directory, device, feeds, fetches = asked
    files = ModelFiles(directory, program, params)
    core: Optional[Core] = None
    try:
        graph = check(files)
        core = Core(files, graph, feeds, fetches, device)
        core.warm_up()
        answer: Union[Graph, BadModel] = graph
    except BadModel as error:
        answer = error
    except Exception as error:
        answer = BadModel(f"{type(error).__name__}: {reason(error)}")
    os.close(program)
    os.close(params)
    with suppress(Gone, ConnectionError):
        channel.send(answer)
        if core is not None and answer is graph:
            end_with_parent(0)
            serve(core, channel)
