"""A model that runs in a process of its own, and the engine's handle on it.

    engine, ModelProcess.feed ──feeds──▶ model's process, serve() ──▶ Core.feed
                              ◀─outputs─
            Host.empty        ──None───▶ ... which drops the model and keeps still
            Host.load         ──files──▶ ... until it is to hold another (``_hosting``)

Why not in the engine: Paddle makes a predictor without letting go of Python's interpreter lock,
which takes 1 ms for uci_housing and 60 ms for each 100 MB of parameters, and nobody would be
answered meanwhile. In another process it disturbs nobody, the swap is one assignment, and a query
on which Paddle crashes does not end the engine. It costs a request the way to another process and
back, which ``_one_core`` keeps short.

Both ends speak in turns over one ``SOCK_SEQPACKET`` socket. A message is ``marshal``'s form of
builtin values, which both ends trust because both are this program; one that is longer than a
packet comes as a file in memory.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import errno
import marshal
import mmap
import os
import signal
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Callable, Optional

import numpy as np

from ._core import Core
from ._model import Model, Output
from ._model_files import Graph
from ._one_core import OneCore
from ._priority import bring_forward
from ._prototxt import Variable
from ._query import INFERENCE_FAILED, ServiceError, Tensor, inference_failed

# A longer message would have to be copied through the socket's buffer, and need not fit.
_LONGEST_PACKET = 32 * 1024
# What comes in a packet in place of a message too long for one: its length.
_ELSEWHERE = struct.Struct("=Q")
# Emptying takes no time to speak of, and has been under way since the reload before; loading may
# have to read gigabytes.
_EMPTY_S = 1.0
LOAD_S = 600.0
# So long others go before a process that loads or drops a model. Where they leave it next to
# nothing of the cores it would take for ever.
GENTLE_S = 2.0
_PR_SET_PDEATHSIG = 1
_ONE_DESCRIPTOR = socket.CMSG_SPACE(array.array("i").itemsize)


def end_with_parent(signal_number: int) -> None:
    """Has this signal sent to the calling process when the one that forked it ends; 0: none."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


class Gone(Exception):
    """The other end is there no more."""


class Hangs(Exception):
    """Loading a model takes longer than any does."""

    def __init__(self) -> None:
        super().__init__(f"loading it takes longer than {LOAD_S:.0f} s")


class Channel:
    """One end: sends and receives whole messages. Raises ``Gone``, and ``OSError`` for memory."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._packet = bytearray(_LONGEST_PACKET)
        self._view = memoryview(self._packet)

    def close(self) -> None:
        self._end.close()

    def send(self, message: Any) -> None:
        packed = marshal.dumps(message)
        try:
            if len(packed) <= _LONGEST_PACKET:
                self._end.send(packed)
            else:
                self._send_elsewhere(packed)
        except ConnectionError:
            raise Gone from None

    def _send_elsewhere(self, packed: bytes) -> None:
        file = os.memfd_create("message", os.MFD_CLOEXEC)
        try:
            rest = memoryview(packed)
            while rest:
                rest = rest[os.write(file, rest) :]
            socket.send_fds(self._end, [_ELSEWHERE.pack(len(packed))], [file])
        finally:
            os.close(file)

    def send_files(self, message: bytes, files: Sequence[int]) -> None:
        """Sends open files, and a short message with them."""
        try:
            socket.send_fds(self._end, [message], list(files))
        except ConnectionError:
            raise Gone from None

    def receive_files(self, most: int) -> tuple[bytes, list[int]]:
        """What ``send_files`` sent; fewer files when there is no number for them any more."""
        try:
            message, files, _, _ = socket.recv_fds(self._end, _LONGEST_PACKET, most)
        except ConnectionError:
            raise Gone from None
        if not message:
            raise Gone
        return message, files

    def give_up_after(self, seconds: int) -> None:
        """From now on ``receive`` raises ``BlockingIOError`` after so long a silence.

        By the kernel, because a timeout of Python's own is one more system call for each message.
        """
        timeval = struct.pack("@ll", seconds, 0)
        self._end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Within it, ``socket.timeout`` (an ``OSError``) is raised after so long a silence."""
        self._end.settimeout(seconds)
        try:
            yield
        finally:
            self._end.settimeout(None)

    def receive(self) -> Any:
        try:
            size, rights, flags, _ = self._end.recvmsg_into([self._packet], _ONE_DESCRIPTOR)
        except ConnectionError:
            raise Gone from None
        if flags & socket.MSG_CTRUNC:
            # There was no number for the file in which the message is.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if rights:
            (file,) = array.array("i", rights[0][2])
            try:
                (length,) = _ELSEWHERE.unpack(self._view[:size])
                with mmap.mmap(file, length, access=mmap.ACCESS_READ) as mapped:
                    return marshal.loads(mapped)
            finally:
                os.close(file)
        if not size:
            raise Gone
        return marshal.loads(self._view[:size])


class Host:
    """The engine's handle on a process that holds one model at a time.

    ``channel`` leads to it; nobody else uses that while a method here is at work.
    """

    def __init__(self, channel: Channel, pid: int) -> None:
        self.channel = channel
        self.pid = pid
        # How many models it has been given, the one it was made for among them.
        self.loads = 1

    def empty(self) -> bool:
        """Has the model dropped, and waits for nothing; whether it could be told."""
        try:
            self.channel.send(None)
        except (Gone, OSError):
            return False
        return True

    def load(self, question: bytes, files: Sequence[int]) -> bytes:
        """After ``empty``: has the model in ``files`` loaded, as ``question`` says (``_hosting``).

        Gives the answer. Raises ``Gone`` when the process ended over it, or does not say that it
        has dropped its model; ``Hangs``; and ``OSError`` when it cannot be asked.
        """
        self.loads += 1
        try:
            self._receive(_EMPTY_S)
        except socket.timeout:
            self.kill()
            raise Gone from None
        try:
            with self.channel.patience(LOAD_S):
                self.channel.send_files(question, files)
            answer: bytes = self._receive(LOAD_S)
            return answer
        except socket.timeout:
            self.kill()
            raise Hangs from None

    def _receive(self, seconds: float) -> Any:
        try:
            with self.channel.patience(GENTLE_S):
                return self.channel.receive()
        except socket.timeout:
            bring_forward(self.pid)
        with self.channel.patience(seconds):
            return self.channel.receive()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """The process ends by itself when nobody can ask it any more."""
        self.channel.close()


class ModelProcess(Model):
    """A model in the process of ``host``, whose ``thread`` answers.

    A query that finds the process gone is refused, like all after it. The process is ended when
    it does not answer for ``longest_run_s``: meanwhile nobody is served.
    """

    def __init__(
        self,
        host: Host,
        graph: Graph,
        feeds: Sequence[Variable],
        fetches: Sequence[Variable],
        *,
        together: bool,
        thread: int,
        longest_run_s: int,
    ) -> None:
        super().__init__(graph, feeds, fetches, together)
        self.graph = graph
        self.host = host
        self._channel = host.channel
        self._one_core = OneCore(thread)
        self._longest_run_s = longest_run_s
        self._channel.give_up_after(longest_run_s)
        self._end: Optional[int] = None

    def feed(self, tensors: Sequence[Tensor]) -> list[Output]:
        if self.over:
            # An answer that comes late would be another query's.
            raise inference_failed(self.over)
        try:
            with self._one_core:
                self._channel.send(
                    [
                        (name, flat.dtype.str, flat.shape, np.ascontiguousarray(flat), lod)
                        for name, flat, lod in tensors
                    ]
                )
                done, answer = self._channel.receive()
        except Gone:
            self.over = (
                "the process in which the model ran has ended, perhaps on this request; "
                "the model is being loaded anew"
            )
            raise inference_failed(self.over) from None
        except BlockingIOError:
            self.over = (
                f"the model did not answer within {self._longest_run_s} s and was ended; "
                "it is being loaded anew"
            )
            self.host.kill()
            raise inference_failed(self.over) from None
        if not done:
            raise ServiceError(INFERENCE_FAILED, answer, real_dies=True)
        return [(np.ndarray(shape, dtype, content), lod) for dtype, shape, content, lod in answer]

    def watch(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        def ended() -> None:
            self.unwatch(loop)
            on_end()

        try:
            self._end = os.pidfd_open(self.host.pid)
        except ProcessLookupError:
            loop.call_soon(on_end)
        except OSError:
            # No descriptor left, or a kernel older than 5.3: then only the queries show it.
            return
        else:
            loop.add_reader(self._end, ended)

    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._end is not None:
            loop.remove_reader(self._end)
            os.close(self._end)
            self._end = None

    def close(self) -> None:
        self.host.close()


def serve(core: Core, channel: Channel) -> None:
    """Answers on ``channel`` until the model is to be dropped. Raises ``Gone``."""
    while True:
        try:
            asked = channel.receive()
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            channel.send((False, inference_failed(os.strerror(errno.EMFILE)).text))
            continue
        if asked is None:
            return
        try:
            outputs = core.feed(
                [
                    Tensor(name, np.ndarray(shape, dtype, content), lod)
                    for name, dtype, shape, content, lod in asked
                ]
            )
            answer = [
                (made.dtype.str, made.shape, np.ascontiguousarray(made), lod)
                for made, lod in outputs
            ]
            packed: Any = (True, answer)
        except ServiceError as error:
            packed = (False, error.text)
        except Exception as error:
            packed = (False, inference_failed(f"{type(error).__name__}: {error}").text)
        channel.send(packed)
