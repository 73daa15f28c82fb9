"""Where the processes that run models come from.

    engine ──"load this": both files, a channel──▶ nursery ──fork──▶ model's process: checks, loads
    engine ◀────── what was found out, or why not ─ nursery ◀─pipe──         the same
    engine ◀═════════════════ queries, over the channel ═══════════▶        the same

Paddle ends the whole process on some damaged programs (one in seventy programs with a flipped
byte, of those that still parse). Here that is a process which serves nobody yet: the nursery sees
how it ended, and the engine goes on with the model it has.

The nursery is forked once, when the library is loaded and no thread of the engine's runs yet (the
library has one, which sleeps), and shares its memory with the engine. It ends with the engine,
however that ends; a model's process ends when nobody can ask it any more. Should it end before
(the kernel picks it when memory is short, or somebody kills it), another takes its place: a new
process then, because the engine has threads by now.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Union

from ._core import Core, Device
from ._first_use import get_over_first_use
from ._inference import library
from ._model_files import (
    BadModel,
    Graph,
    ModelFiles,
    check,
    graph_of,
    unavailable,
)
from ._process import Channel, ModelProcess, serve
from ._prototxt import Variable

_PR_SET_PDEATHSIG = 1
# Of a load that nobody waits for: requests go before it.
_NICE = 10
_LAST = 19
_LONGEST_REASON = 4096
# Names, types and shapes of feeds and fetches; a socket message takes some 200 KB.
_LONGEST_ANSWER = 128 * 1024
# A load that takes longer than this hangs.
_DEADLINE_S = 600.0
_NOT_LOADED = "the model could not be loaded"


class Nursery:
    """The engine's handle on the process that makes model processes."""

    def __init__(
        self,
        ours: socket.socket,
        pid: int,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        device: Device,
    ) -> None:
        self._socket = ours
        self.pid = pid
        self._feeds = feeds
        self._fetches = fetches
        self._device = device
        self._gone = False

    @classmethod
    def start(
        cls, feeds: Sequence[Variable], fetches: Sequence[Variable], device: Device
    ) -> Nursery:
        """Forks it. Has to be called before the engine starts a thread."""
        library()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        engine = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _live(theirs, engine, feeds, fetches, device)
        theirs.close()
        return cls(ours, pid, feeds, fetches, device)

    def _start_again(self) -> None:
        """Puts a new process in the place of one that is gone. Raises ``OSError``."""
        os.waitpid(self.pid, os.WNOHANG)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        variables = [[astuple(one) for one in block] for block in (self._feeds, self._fetches)]
        # This very package, wherever the interpreter found it.
        root = str(Path(__file__).resolve().parents[2])
        code = (
            f"import sys; sys.path.insert(0, {root!r}); from {__name__} import _reborn; _reborn()"
        )
        words = [str(theirs.fileno()), str(os.getpid()), json.dumps(variables)]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *words, json.dumps(asdict(self._device))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._socket.close()
        self._socket, self.pid, self._gone = ours, process.pid, False

    def load(self, files: ModelFiles, device: Device, *, gently: bool) -> ModelProcess:
        """Returns when the model has loaded and run. Raises ``BadModel`` with the reason.

        ``gently``: at low priority, because clients of another model are being answered.
        """
        question = {"directory": files.directory, "device": asdict(device), "gently": gently}
        try:
            if self._gone:
                self._start_again()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise unavailable(_NOT_LOADED, error) from None
        channel = Channel(ours)
        try:
            with theirs:
                descriptors = [files.program, files.params, theirs.fileno()]
                socket.send_fds(self._socket, [json.dumps(question).encode()], descriptors)
            found = _understood(self._socket.recv(_LONGEST_ANSWER))
            return ModelProcess(
                channel,
                found.pid,
                graph_of(found.graph),
                self._feeds,
                self._fetches,
                together=found.together,
            )
        except BaseException as error:
            channel.close()
            if isinstance(error, ConnectionError):
                self._gone = True
                raise BadModel(f"{_NOT_LOADED}: the process for it is gone", passing=True) from None
            if isinstance(error, OSError):
                raise unavailable(_NOT_LOADED, error) from None
            raise


class _Found(NamedTuple):
    """What loading a good model gave."""

    pid: int
    graph: Any
    together: bool


def _understood(answer: bytes) -> _Found:
    """Raises ``BadModel`` for a refusal, and ``OSError`` for trouble of this machine."""
    if not answer:
        raise ConnectionResetError
    found = json.loads(answer)
    if "errno" in found:
        number = int(found["errno"])
        raise OSError(number, os.strerror(number))
    if "refused" in found:
        raise BadModel(str(found["refused"]), passing=bool(found["passing"]))
    return _Found(int(found["pid"]), found["graph"], bool(found["together"]))


def _refusal(why: str, *, passing: bool = False) -> dict[str, Any]:
    return {"refused": why[:_LONGEST_REASON], "passing": passing}


class _Asked(NamedTuple):
    """One question as it came to the nursery."""

    directory: str
    device: Device
    gently: bool
    program: int
    params: int
    channel: int

    @classmethod
    def of(cls, question: bytes, descriptors: Sequence[int]) -> _Asked:
        words = json.loads(question)
        return cls(
            words["directory"], Device(**words["device"]), bool(words["gently"]), *descriptors
        )


def _reborn() -> NoReturn:
    """A nursery that was not forked: ``sys.argv`` has what ``_start_again`` gives it."""
    descriptor, engine, variables, device = sys.argv[1:]
    feeds, fetches = ([Variable(*one) for one in block] for block in json.loads(variables))
    library()
    theirs = socket.socket(fileno=int(descriptor))
    _live(theirs, int(engine), feeds, fetches, Device(**json.loads(device)))


def _live(
    theirs: socket.socket,
    engine: int,
    feeds: Sequence[Variable],
    fetches: Sequence[Variable],
    device: Device,
) -> NoReturn:
    """The nursery's life; it does not return into the engine's code."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The launcher's ``stop`` signals the whole group; the engine decides when to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        children = _Children()
        signal.signal(signal.SIGCHLD, lambda *_: children.reap())
        if not device.use_gpu:
            # The first use of a Paddle for GPUs starts CUDA, which no child could use then.
            # Where there is no room for it now, every load takes longer, and that is all.
            with suppress(OSError, BadModel):
                get_over_first_use()
        while os.getppid() == engine:
            question, descriptors, _, _ = socket.recv_fds(theirs, 64 * 1024, 3)
            if not question:
                break
            try:
                if len(descriptors) != 3:
                    # The kernel leaves out those for which there is no number any more.
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                asked = _Asked.of(question, descriptors)
                answer = _made(asked, theirs, children, feeds, fetches)
            except OSError as error:
                # No process or no pipe to be had just now: the next load may find one.
                answer = {"errno": error.errno or 0}
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            theirs.send(json.dumps(answer).encode())
        code = 0
    finally:
        os._exit(code)


class _Children:
    """Model processes that serve; waited for when they end, so that none stays as a zombie."""

    def __init__(self) -> None:
        self._pids: set[int] = set()

    def add(self, pid: int) -> None:
        self._pids.add(pid)
        # It may have ended before it was added.
        self.reap()

    def reap(self) -> None:
        for pid in tuple(self._pids):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.discard(pid)


def _made(
    asked: _Asked,
    control: socket.socket,
    children: _Children,
    feeds: Sequence[Variable],
    fetches: Sequence[Variable],
) -> dict[str, Any]:
    """Forks a model's process, waits until it has loaded, and says how it went."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            # Held open here as well, it would keep the engine from seeing the nursery's end.
            control.close()
            os.close(reading)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(asked, writing, feeds, fetches)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        hangs = not select.select([answer], [], [], _DEADLINE_S)[0]
        if hangs:
            os.kill(pid, signal.SIGKILL)
        said = answer.read(_LONGEST_ANSWER)
    found: dict[str, Any] = json.loads(said) if said else {}
    if "graph" in found:
        children.add(pid)
        return {**found, "pid": pid}
    _, status = os.waitpid(pid, 0)
    if found:
        return found
    if hangs:
        return _refusal(f"loading it takes longer than {_DEADLINE_S:.0f} s")
    if not os.WIFSIGNALED(status):
        return _refusal("loading it ended a process without a word")
    if os.WTERMSIG(status) == signal.SIGKILL:
        # Nothing in a program sends this one; the kernel does when memory is short.
        return _refusal(f"{_NOT_LOADED}: the process for it was killed", passing=True)
    name = signal.Signals(os.WTERMSIG(status)).name
    return _refusal(f"loading it ended a process with {name}: the program is damaged")


def _run(
    asked: _Asked, writing: int, feeds: Sequence[Variable], fetches: Sequence[Variable]
) -> None:
    """The life of a model's process: load, say how that went, serve."""
    loaded: list[Union[dict[str, Any], tuple[Core, Graph]]] = []
    done = threading.Event()

    def load() -> None:
        if asked.gently:
            _step_back(_NICE)
        loaded.append(_loaded(asked, feeds, fetches))
        done.set()
        # Parts of a predictor belong to the thread that made it: with that one gone, a run in
        # another crashed in a third of all cases.
        threading.Event().wait()

    # Priority is a thread's on Linux, and nobody may raise his own: so the thread that is to
    # serve has to leave the loading to another.
    threading.Thread(target=load, daemon=True).start()
    done.wait()
    outcome = loaded[0]
    if isinstance(outcome, dict):
        os.write(writing, json.dumps(outcome).encode())
        return
    core, graph = outcome
    os.close(asked.program)
    os.close(asked.params)
    if core.together:
        # Paddle keeps some things for each thread.
        core.warm_up()
    channel = Channel(socket.socket(fileno=asked.channel))
    os.write(writing, json.dumps({"graph": graph[:2], "together": core.together}).encode())
    os.close(writing)
    serve(core, channel)
    _step_back(_LAST)


def _loaded(
    asked: _Asked, feeds: Sequence[Variable], fetches: Sequence[Variable]
) -> Union[dict[str, Any], tuple[Core, Graph]]:
    """The model, or why there is none."""
    files = ModelFiles(asked.directory, asked.program, asked.params)
    try:
        graph = check(files)
        return Core(files, graph, feeds, fetches, asked.device), graph
    except BadModel as error:
        return _refusal(str(error), passing=error.passing)
    except Exception as error:
        return _refusal(f"{type(error).__name__}: {error}")


def _step_back(nice: int) -> None:
    """Lets others go before this thread, and wakes without pushing anybody aside (sched(7))."""
    os.nice(nice)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
