"""A model is loaded by somebody else first: what kills a process must not kill the engine's.

Paddle ends the whole process on some damaged programs (one in seventy programs with a flipped
byte, of those that still parse). So every model is tried out in a process of its own before the
engine touches it:

    engine ──"try this", both files' descriptors──▶ nursery ──fork──▶ child: check, load, run
    engine ◀───── what was found out, or why not ── nursery ◀─pipe── child

What the child finds out (the graph, and whether queries may share a run) the engine need not find
out again while its clients wait.

The nursery is forked once, when the library is loaded and no thread of the engine's runs yet (the
library has one, which sleeps), and shares its memory with the engine; a trial costs a fork and the
load itself, at low priority, on another core. It ends with the engine, however that ends. Should
it end before (the kernel picks it when memory is short, or somebody kills it), another takes its
place: a new process then, because the engine has threads by now.
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
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import NamedTuple, NoReturn

from ._inference import library
from ._model import Core, Device
from ._model_files import BadModel, Graph, ModelFiles, check, graph_of, unavailable
from ._prototxt import Variable

_PR_SET_PDEATHSIG = 1
_NICE = 10
_LONGEST_REASON = 4096
# Names, types and shapes of feeds and fetches; a socket message takes some 200 KB.
_LONGEST_ANSWER = 128 * 1024
# A load that takes longer than this hangs.
_DEADLINE_S = 600.0
_NOT_TRIED = "the model could not be tried out"


class Found(NamedTuple):
    """What a trial found out about a good model."""

    graph: Graph
    together: bool


class Nursery:
    """The engine's handle on the process that tries models out."""

    def __init__(
        self,
        ours: socket.socket,
        pid: int,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
    ) -> None:
        self._socket = ours
        self.pid = pid
        self._feeds = feeds
        self._fetches = fetches
        self._gone = False

    @classmethod
    def start(cls, feeds: Sequence[Variable], fetches: Sequence[Variable]) -> Nursery:
        """Forks it. Has to be called before the engine starts a thread."""
        library()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        engine = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _live(theirs, engine, feeds, fetches)
        theirs.close()
        return cls(ours, pid, feeds, fetches)

    def _start_again(self) -> None:
        """Puts a new process in the place of one that is gone. Raises ``OSError``."""
        os.waitpid(self.pid, os.WNOHANG)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        blocks = (self._feeds, self._fetches)
        variables = json.dumps([[astuple(one) for one in block] for block in blocks])
        # This very package, wherever the interpreter found it.
        root = str(Path(__file__).resolve().parents[2])
        code = (
            f"import sys; sys.path.insert(0, {root!r}); from {__name__} import _reborn; _reborn()"
        )
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(theirs.fileno()), str(os.getpid()), variables],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._socket.close()
        self._socket, self.pid, self._gone = ours, process.pid, False

    def try_out(self, files: ModelFiles, device: Device) -> Found:
        """Returns when the model has loaded and run. Raises ``BadModel`` with the reason."""
        # On a GPU the trial would need a second context; what is wrong with a file shows on a CPU.
        settings = {**asdict(device), "use_gpu": False}
        question = json.dumps({"directory": files.directory, "device": settings}).encode()
        answer = ""
        try:
            if self._gone:
                self._start_again()
            socket.send_fds(self._socket, [question], [files.program, files.params])
            answer = self._socket.recv(_LONGEST_ANSWER).decode(errors="replace")
        except (BrokenPipeError, ConnectionResetError):
            pass
        except OSError as error:
            raise unavailable(_NOT_TRIED, error) from None
        if not answer:
            self._gone = True
            raise BadModel(f"{_NOT_TRIED}: the process for it is gone", passing=True)
        try:
            found = json.loads(answer)
        except ValueError:
            raise BadModel(answer) from None
        if "errno" in found:
            number = int(found["errno"])
            raise unavailable(_NOT_TRIED, OSError(number, os.strerror(number)))
        if "passing" in found:
            raise BadModel(str(found["passing"]), passing=True)
        return Found(graph_of(found["graph"]), bool(found["together"]))


def _reborn() -> NoReturn:
    """A nursery that was not forked: ``sys.argv`` has the socket, the engine and the variables."""
    descriptor, engine, variables = sys.argv[1:]
    feeds, fetches = ([Variable(*one) for one in block] for block in json.loads(variables))
    library()
    _live(socket.socket(fileno=int(descriptor)), int(engine), feeds, fetches)


def _live(
    theirs: socket.socket, engine: int, feeds: Sequence[Variable], fetches: Sequence[Variable]
) -> NoReturn:
    """The nursery's life; it does not return into the engine's code."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The launcher's ``stop`` signals the whole group; the engine decides when to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.nice(_NICE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        while os.getppid() == engine:
            question, descriptors, _, _ = socket.recv_fds(theirs, 64 * 1024, 2)
            if not question:
                break
            try:
                if len(descriptors) != 2:
                    # The kernel leaves out those for which there is no number any more.
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                answer = _trial(question, descriptors, feeds, fetches)
            except OSError as error:
                # No process or no pipe to be had just now: the next trial may find one.
                answer = json.dumps({"errno": error.errno or 0})
            try:
                theirs.send(answer.encode())
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        code = 0
    finally:
        os._exit(code)


def _trial(
    question: bytes,
    descriptors: list[int],
    feeds: Sequence[Variable],
    fetches: Sequence[Variable],
) -> str:
    """Forks, loads in the child, and says how it went."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, _load(question, descriptors, feeds, fetches).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        hangs = not select.select([answer], [], [], _DEADLINE_S)[0]
        if hangs:
            os.kill(pid, signal.SIGKILL)
        text = answer.read(_LONGEST_ANSWER).decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if hangs:
        return f"loading it takes longer than {_DEADLINE_S:.0f} s"
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        # Nothing in a program sends this one; the kernel does when memory is short.
        return json.dumps({"passing": f"{_NOT_TRIED}: the process for it was killed"})
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"loading it ended a process with {name}: the program is damaged"
    return text or "loading it ended a process without a word"


def _load(
    question: bytes,
    descriptors: list[int],
    feeds: Sequence[Variable],
    fetches: Sequence[Variable],
) -> str:
    asked = json.loads(question)
    files = ModelFiles(asked["directory"], *descriptors)
    try:
        graph = check(files)
        core = Core(files, graph, feeds, fetches, Device(**asked["device"]))
    except BadModel as error:
        text = str(error)[:_LONGEST_REASON]
        return json.dumps({"passing": text}) if error.passing else text
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
    return json.dumps({"graph": graph[:2], "together": core.together})
