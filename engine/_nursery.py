"""Where the processes that run models come from.

    engine ──"load this": both files, a channel──▶ nursery ──fork──▶ model's process: checks, loads
    engine ◀────── what was found out, or why not ─ nursery ◀─pipe──         the same
    engine ◀═════════════════ queries, over the channel ═══════════▶        the same

The first two loads make a process each; from then on the one whose model was dropped takes the
next (``_hosting``), until it ends or refuses one.

Paddle ends the whole process on some damaged programs (one in seventy programs with a flipped
byte, of those that still parse). Here that is a process which serves nobody yet, and the engine
goes on with the model it has. How a process ended is the nursery's to see; so a load that ended
a spare process is done once more, in a new one.

The nursery is forked once, when the library is loaded and no thread of the engine's runs yet (the
library has one, which sleeps), and shares its memory with the engine. It ends with the engine,
however that ends; a model's process ends when nobody can ask it any more. Should it end before
(the kernel picks it when memory is short, or somebody kills it), another takes its place: a new
process then, because the engine has threads by now.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Optional

from ._core import Device
from ._first_use import get_over_first_use
from ._hosting import Asked, Found, live, question, refusal, trouble, understood
from ._inference import library
from ._model_files import BadModel, ModelFiles, graph_of, unavailable
from ._priority import bring_forward
from ._process import GENTLE_S, LOAD_S, Channel, Gone, Hangs, Host, ModelProcess, end_with_parent
from ._prototxt import Variable

# Names, types and shapes of feeds and fetches; a socket message takes some 200 KB.
_LONGEST_ANSWER = 128 * 1024
# Paddle keeps 5 to 10 KB of each predictor that was (bench.engine_reloads); a new process has none.
_MOST_LOADS = 50
_LONGEST_RUN_S = 60
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
        *,
        longest_run_s: int,
    ) -> None:
        self._socket = ours
        self.pid = pid
        self._feeds = feeds
        self._fetches = fetches
        self._device = device
        self._longest_run_s = longest_run_s
        self._gone = False
        # A process that holds no model now.
        self._spare: Optional[Host] = None

    @classmethod
    def start(
        cls,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        device: Device,
        *,
        longest_run_s: Optional[int] = None,
    ) -> Nursery:
        """Forks it. Has to be called before the engine starts a thread.

        ``longest_run_s`` (60) is for every ``ModelProcess`` that comes out of it.
        """
        library()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        engine = os.getpid()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _live(theirs, engine, feeds, fetches, device)
        theirs.close()
        return cls(ours, pid, feeds, fetches, device, longest_run_s=longest_run_s or _LONGEST_RUN_S)

    def _start_again(self) -> None:
        """Puts a new process in the place of one that is gone. Raises ``OSError``."""
        os.waitpid(self.pid, os.WNOHANG)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        variables = [[astuple(one) for one in block] for block in (self._feeds, self._fetches)]
        # This very package, wherever the interpreter found it.
        root = str(Path(__file__).resolve().parents[1])
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
        words = question(files.directory, device, gently=gently)
        found = self._in_the_spare(words, files)
        host, answer = found or self._in_a_new_one(words, files)
        return ModelProcess(
            host,
            graph_of(answer.graph),
            self._feeds,
            self._fetches,
            together=answer.together,
            thread=answer.thread,
            longest_run_s=self._longest_run_s,
        )

    def retire(self, model: ModelProcess) -> None:
        """Drops a model that nobody asks any more; its process is kept for the next load."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()
        if model.host.loads < _MOST_LOADS and model.host.empty():
            self._spare = model.host
        else:
            model.close()

    def _in_the_spare(self, words: bytes, files: ModelFiles) -> Optional[tuple[Host, Found]]:
        """None when there is no spare process, or when it has ended, perhaps over this model.

        The next one is the nursery's own child, and so the nursery can tell how it ends.
        """
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        try:
            return spare, understood(spare.load(words, (files.program, files.params)))
        except Gone:
            spare.close()
            return None
        except Hangs as error:
            # It would in another process as well.
            spare.close()
            raise BadModel(str(error)) from None
        except OSError as error:
            spare.close()
            raise unavailable(_NOT_LOADED, error) from None
        except BadModel:
            spare.close()
            raise

    def _in_a_new_one(self, words: bytes, files: ModelFiles) -> tuple[Host, Found]:
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
                socket.send_fds(self._socket, [words], descriptors)
            found = understood(self._socket.recv(_LONGEST_ANSWER))
            return Host(channel, found.pid), found
        except BaseException as error:
            channel.close()
            if isinstance(error, ConnectionError):
                self._gone = True
                raise BadModel(f"{_NOT_LOADED}: the process for it is gone", passing=True) from None
            if isinstance(error, OSError):
                raise unavailable(_NOT_LOADED, error) from None
            raise


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
        end_with_parent(signal.SIGKILL)
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
            words, descriptors, _, _ = socket.recv_fds(theirs, 64 * 1024, 3)
            if not words:
                break
            try:
                asked = Asked.of(words, descriptors[:-1])
                life = _Life(asked, descriptors[-1], feeds, fetches)
                answer = _made(life, theirs, children)
            except OSError as error:
                # No process or no pipe to be had just now: the next load may find one.
                answer = trouble(error)
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
            try:
                ended, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                # The signal handler came between two steps of this, and has waited for it.
                ended = pid
            if ended:
                self._pids.discard(pid)


class _Life(NamedTuple):
    """What a new process needs to begin."""

    asked: Asked
    channel: int
    feeds: Sequence[Variable]
    fetches: Sequence[Variable]

    def begin(self, answers: int) -> None:
        def say(answer: bytes) -> None:
            os.write(answers, answer)
            os.close(answers)

        channel = Channel(socket.socket(fileno=self.channel))
        live(self.asked, channel, say, self.feeds, self.fetches)


def _made(life: _Life, control: socket.socket, children: _Children) -> dict[str, Any]:
    """Forks a process, waits until it has loaded its model, and says how it went."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            # Held open here as well, it would keep the engine from seeing the nursery's end.
            control.close()
            os.close(reading)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            life.begin(writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        hangs = False
        if not select.select([answer], [], [], GENTLE_S)[0]:
            bring_forward(pid)
            hangs = not select.select([answer], [], [], LOAD_S)[0]
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
        return refusal(str(Hangs()))
    if not os.WIFSIGNALED(status):
        return refusal("loading it ended a process without a word")
    if os.WTERMSIG(status) == signal.SIGKILL:
        # Nothing in a program sends this one; the kernel does when memory is short.
        return refusal(f"{_NOT_LOADED}: the process for it was killed", passing=True)
    name = signal.Signals(os.WTERMSIG(status)).name
    return refusal(f"loading it ended a process with {name}: the program is damaged")
