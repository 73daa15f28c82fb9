"""The process from which model processes are forked, and the engine's handle on it.

    engine ──both files, one end of a channel──▶ fork server ──fork──▶ model process: check, load
    engine ◀──────────────pid─────────────────── fork server
    engine ◀═══════════════ the result of the load, then queries ═════▶ model process

The fork server has Paddle Inference loaded and warm, so a model process imports nothing. Each
load gets a new process, which ends when the engine closes the channel. Paddle ends its process on
some damaged programs; the engine then goes on with the model that it has.

This is not the fork server of ``multiprocessing``: that one adds a resource tracker, leaves a
socket in the temporary directory after a ``kill -9``, and does not start children that outlive it.

The fork server ends with the engine. If it ends earlier, the next load starts another one. A model
process that serves lives on without it.
"""

from __future__ import annotations

import errno
import json
import marshal
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, Optional

from ._core import Core, Device, passes, reason
from ._first_use import get_over_first_use
from ._inference import library, package_folder
from ._model_files import BadModel, ModelFiles, check, graph_of, unavailable
from ._process import Gone, ModelProcess, end_with_parent, receive, send, serve
from ._prototxt import Variable

# A request names the directory, the feeds and the fetches; a socket message takes some 200 KB.
_MAX_REQUEST = 128 * 1024
_MAX_REASON = 4096
_MAX_RUN_S = 60
# Loading may have to read gigabytes.
MAX_LOAD_S = 600.0
_NOT_LOADED = "the model could not be loaded"


class ForkServer:
    """The engine's handle on the fork server, which it starts.

    Args:
        feeds: The prototxt's feeds.
        fetches: The prototxt's fetches.
        warm: Run a small model first. Not on a GPU: CUDA does not survive a fork.
        max_run_s: End a model process that does not answer for so many seconds.

    Raises:
        ImportError: paddlepaddle is not installed.
    """

    def __init__(
        self,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        *,
        warm: bool = True,
        max_run_s: Optional[int] = None,
    ) -> None:
        package_folder()
        self._feeds = feeds
        self._fetches = fetches
        self._warm = warm
        self._max_run_s = max_run_s or _MAX_RUN_S
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # This very package, wherever the interpreter found it.
        root = str(Path(__file__).resolve().parents[1])
        code = f"import sys; sys.path[0] = {root!r}; from {__name__} import main; main()"
        words = [str(theirs.fileno()), str(os.getpid()), json.dumps(self._warm)]
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
            raise unavailable(_NOT_LOADED, error) from None

    def _load(self, files: ModelFiles, device: Device) -> ModelProcess:
        variables = [[astuple(one) for one in block] for block in (self._feeds, self._fetches)]
        request = marshal.dumps((files.directory, asdict(device), *variables))
        ours, theirs = socket.socketpair()
        channel = Connection(ours.detach())
        try:
            with theirs:
                socket.send_fds(
                    self._socket, [request], [files.program, files.params, theirs.fileno()]
                )
            pid = self._answer()
            if pid < 0:
                raise OSError(-pid, os.strerror(-pid))
            if not channel.poll(MAX_LOAD_S):
                os.kill(pid, signal.SIGKILL)
                raise BadModel(f"loading it takes longer than {MAX_LOAD_S:.0f} s")
            try:
                found = receive(channel)
            except Gone:
                raise self._why_ended(pid) from None
            if "refused" in found:
                raise BadModel(found["refused"], passing=found["passing"])
        except BaseException:
            channel.close()
            raise
        return ModelProcess(
            channel,
            pid,
            graph_of(found["graph"]),
            self._feeds,
            self._fetches,
            together=found["together"],
            max_run_s=self._max_run_s,
        )

    def _why_ended(self, pid: int) -> BadModel:
        """Return why the model process ended while it loaded. Raises ``ConnectionError``."""
        self._socket.send(marshal.dumps(pid))
        status = self._answer()
        if not os.WIFSIGNALED(status):
            return BadModel("loading it ended a process without a word")
        if os.WTERMSIG(status) == signal.SIGKILL:
            # No program sends this signal; the kernel does when memory is short.
            return BadModel(f"{_NOT_LOADED}: the process for it was killed", passing=True)
        name = signal.Signals(os.WTERMSIG(status)).name
        return BadModel(f"loading it ended a process with {name}: the program is damaged")

    def _answer(self) -> int:
        answer = self._socket.recv(_MAX_REQUEST)
        if not answer:
            raise ConnectionResetError
        return int(marshal.loads(answer))


def main() -> NoReturn:
    """Be the fork server. ``sys.argv`` has what ``ForkServer`` gives it."""
    descriptor, engine, warm = sys.argv[1:]
    end_with_parent(signal.SIGKILL)
    # The launcher's ``stop`` signals the whole group; the engine decides when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library()
    if json.loads(warm):
        # Without room for it now, every load takes longer, and that is all.
        with suppress(OSError, BadModel):
            get_over_first_use()
    ended: dict[int, int] = {}

    def reap(*_: object) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                ended[pid] = status

    signal.signal(signal.SIGCHLD, reap)
    control = socket.socket(fileno=int(descriptor))
    while os.getppid() == int(engine):
        request, files, _, _ = socket.recv_fds(control, _MAX_REQUEST, 3)
        if not request:
            break
        asked = marshal.loads(request)
        if isinstance(asked, int):
            while asked not in ended:
                time.sleep(0.001)
            answer = ended[asked]
        else:
            ended.clear()
            answer = _forked(asked, files, control)
        for file in files:
            os.close(file)
        control.send(marshal.dumps(answer))
    os._exit(0)


def _forked(asked: Any, files: Sequence[int], control: socket.socket) -> int:
    """Fork a model process; return its pid, or an error number below 0."""
    if len(files) != 3:
        return -errno.EMFILE
    try:
        pid = os.fork()
    except OSError as error:
        return -(error.errno or errno.EAGAIN)
    if pid == 0:
        try:
            # An open copy here would keep the engine from seeing the fork server's end.
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _live(asked, *files)
        finally:
            os._exit(0)
    return pid


def _live(asked: Any, program: int, params: int, descriptor: int) -> None:
    """Be a model process: load the model, say how it went, and serve until the channel closes."""
    # A load that hangs ends with the fork server. A model that serves lives on.
    end_with_parent(signal.SIGKILL)
    channel = Connection(descriptor)
    directory, device, *variables = asked
    feeds, fetches = ([Variable(*one) for one in block] for block in variables)
    files = ModelFiles(directory, program, params)
    core: Optional[Core] = None
    try:
        graph = check(files)
        core = Core(files, graph, feeds, fetches, Device(**device))
        if core.together:
            core.warm_up()
        answer: dict[str, Any] = {
            "graph": (tuple(map(tuple, graph.inputs)), graph.outputs),
            "together": core.together,
        }
    except BadModel as error:
        answer = _refusal(str(error), passing=error.passing)
    except Exception as error:
        why = f"{type(error).__name__}: {reason(error)}"
        answer = _refusal(why, passing=passes(why))
    os.close(program)
    os.close(params)
    with suppress(Gone):
        send(channel, answer)
        if "refused" not in answer and core is not None:
            end_with_parent(0)
            serve(core, channel)


def _refusal(why: str, *, passing: bool) -> dict[str, Any]:
    return {"refused": why[:_MAX_REASON], "passing": passing}
