"""The life of a process that holds one model at a time: load it, serve it, drop it, wait.

    asked, with both files ─▶ load ──▶ answer ─▶ serve ──"drop it"──▶ wait for the next
                                └─ refused: that was its life

From reload to reload two such processes take turns, as the two cores of a real server's worker
do: the one that gave up its model holds the one after next. A process for each load would be
simpler, but making and ending one takes the kernel 3 ms each, during which a core does nothing
else (measured with ftrace on two cores: they made p99.9 under reloads twice of what it was
without). One that refused a model is not used again: nobody knows in what state that left it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Callable, NamedTuple, Optional

from ._core import Core, Device, passes, reason
from ._model_files import BadModel, ModelFiles, check
from ._priority import Group, last_of_all, long_turns, step_back, usual_turns
from ._process import Channel, Gone, end_with_parent, serve
from ._prototxt import Variable

# Of a load that nobody waits for: requests go before it.
_NICE = 15
# Before each step of such a load: a tick of the clock at 250 Hz. Low as its priority is, with 64
# connections a load kept the core for 3 ms in one go, in which clients of the other model had been
# woken and waited (seen with ftrace, Linux 6.18). While it sleeps the core is theirs.
_REST_S = 0.004
# How long dropping a model, for which nobody waits, may wait until it may step back.
_DROP_WAITS_S = 0.3
_LONGEST_REASON = 4096
# Bytes of parameters. The next model takes the memory of a smaller one as it is; given back and
# taken again, it costs a load some 40 page faults instead of 4 (uci_housing).
_WORTH_GIVING_BACK = 1 << 20

# Takes what became of a load: what ``_answer`` makes of it.
Say = Callable[[bytes], None]


class Asked(NamedTuple):
    """A load to be done: of both files, open, that were found in ``directory``."""

    directory: str
    device: Device
    gently: bool
    program: int
    params: int

    @classmethod
    def of(cls, question: bytes, files: Sequence[int]) -> Asked:
        """Raises ``OSError`` when the kernel had no number for a file."""
        if len(files) != 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        words = json.loads(question)
        device = Device(**words["device"])
        return cls(words["directory"], device, bool(words["gently"]), *files)


def question(directory: str, device: Device, *, gently: bool) -> bytes:
    """What ``Asked.of`` understands."""
    words = {"directory": directory, "device": asdict(device), "gently": gently}
    return json.dumps(words).encode()


class Found(NamedTuple):
    """What loading a good model gave. ``pid`` is 0 where it is known anyhow; ``thread``, in that
    process, serves."""

    pid: int
    graph: Any
    together: bool
    thread: int


def understood(answer: bytes) -> Found:
    """Raises ``BadModel`` for a refusal, and ``OSError`` for trouble of this machine."""
    if not answer:
        raise ConnectionResetError
    found = json.loads(answer)
    if "errno" in found:
        number = int(found["errno"])
        raise OSError(number, os.strerror(number))
    if "refused" in found:
        raise BadModel(str(found["refused"]), passing=bool(found["passing"]))
    return Found(
        int(found.get("pid", 0)), found["graph"], bool(found["together"]), int(found["thread"])
    )


def refusal(why: str, *, passing: bool = False) -> dict[str, Any]:
    return {"refused": why[:_LONGEST_REASON], "passing": passing}


def refused_by(error: Exception) -> dict[str, Any]:
    """What nobody thought of; or no memory and no thread, which there may be later."""
    why = f"{type(error).__name__}: {reason(error)}"
    return refusal(why, passing=passes(why))


def trouble(error: OSError) -> dict[str, Any]:
    return {"errno": error.errno or 0}


def live(
    asked: Asked, channel: Channel, say: Say, feeds: Sequence[Variable], fetches: Sequence[Variable]
) -> None:
    """The whole life, from its first load on; ``say`` takes the answer to that one."""
    group = Group()
    # As all threads do that are not to serve.
    long_turns()
    with suppress(Gone):
        while True:
            with ThreadPoolExecutor(1) as fresh:
                try:
                    held = _Held(asked, feeds, fetches, group)
                    serving = fresh.submit(_serve, held, channel, say, group)
                except RuntimeError as error:
                    # No thread to be had.
                    say(json.dumps(refused_by(error)).encode())
                    return
                if not serving.result():
                    break
            held.drop()
            channel.send(None)
            # One that waits costs nobody anything, and may have to end soon.
            group.come_forward()
            say = channel.send
            words, files = channel.receive_files(2)
            try:
                asked = Asked.of(words, files)
            except OSError as error:
                say(json.dumps(trouble(error)).encode())
                return
    # The end of a process is work as well: requests go before it, whichever thread does it.
    group.step_back(_NICE)
    last_of_all()


def _serve(held: _Held, channel: Channel, say: Say, group: Group) -> bool:
    """Answers until the model is to be dropped; False when there is none.

    In a thread that has run no other model: what Paddle keeps for a thread points at the
    predictor that it ran there first, and the second one that ran there crashed it. Not so where
    one thread makes all models (``_loading``); here each is made in its own.
    """
    core, answer = held.core, held.answer
    if core is not None and core.together:
        held.rest()
        try:
            core.warm_up()
        except Exception as error:
            core, answer = None, refused_by(error)
    if core is not None:
        group.come_forward()
        usual_turns()
        answer = {**answer, "thread": threading.get_native_id()}
    say(json.dumps(answer).encode())
    if core is None:
        return False
    serve(core, channel)
    return True


class _Held:
    """A model, in the thread that made it: loaded when this is there, until ``drop``.

    Priority is a thread's on Linux, and nobody may raise his own: so the thread that is to serve
    has to leave the loading to another. And parts of a predictor belong to the thread that made
    it: with that one gone, a run in another crashed in a third of all cases.
    """

    def __init__(
        self,
        asked: Asked,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        group: Group,
    ) -> None:
        self.core: Optional[Core] = None
        self.answer: dict[str, Any] = {}
        self._load = (asked, feeds, fetches)
        self._group = group
        self._back = False
        self._done = threading.Event()
        self._dropped = threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)
        # With the nursery goes who would end a load that hangs; a model that serves is to stay.
        # By the kernel: no thread could look while Paddle holds the interpreter's lock.
        end_with_parent(signal.SIGKILL)
        self._thread.start()
        self._done.wait()
        end_with_parent(0)

    def rest(self) -> None:
        """Lets the clients of another model have their turn, when this one is loaded gently."""
        if self._load[0].gently:
            time.sleep(_REST_S)

    def drop(self) -> None:
        self._dropped.set()
        self._thread.join()

    def _hold(self) -> None:
        asked, feeds, fetches = self._load
        try:
            if asked.gently:
                self._step_back()
            else:
                self._group.come_forward()
            self.rest()
            files = ModelFiles(asked.directory, asked.program, asked.params)
            graph = check(files)
            self.rest()
            self.core = Core(files, graph, feeds, fetches, asked.device, rest=self.rest)
            self.answer = {"graph": graph[:2], "together": self.core.together}
        except BadModel as error:
            self.answer = refusal(str(error), passing=error.passing)
        except Exception as error:
            self.answer = refused_by(error)
        finally:
            self._done.set()
        size = os.fstat(asked.params).st_size
        os.close(asked.program)
        os.close(asked.params)
        self._dropped.wait()
        # By now there is another model, whose clients come first.
        self._step_back(wait_s=_DROP_WAITS_S)
        if self.core is not None:
            self.core.close()
            self.core = None
        if size > _WORTH_GIVING_BACK:
            # The library keeps what was freed; the machine is to have it back.
            ctypes.CDLL(None).malloc_trim(0)

    def _step_back(self, *, wait_s: float = 0.0) -> None:
        self._group.step_back(_NICE, wait_s=wait_s)
        if not self._back:
            step_back(_NICE)
        self._back = True
