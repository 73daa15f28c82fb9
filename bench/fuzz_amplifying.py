"""Sends the engine small requests that try to be huge in memory, or to take for ever.

    python -m bench.fuzz_amplifying                    300 inputs
    python -m bench.fuzz_amplifying --inputs 20 --seed 7

``bench.fuzz_engine`` damages messages of some hundred bytes; it finds what breaks a parser, and
nothing that grows with what it is given. Here an input is a request of ten kilobytes to four
megabytes (of protobuf's fields: sixteen) of one thing many times over (``bench.amplifying``), in
JSON or protobuf, over HTTP/1 or baidu_std, packed or not, alone or several on one connection. It
goes the whole way through a connection, the codecs, the batcher and the answer, around a model that
gives back its feed, in a process of its own. What
has to hold of every one, with a ``max_body_size`` of 64 MiB, the least that the launcher passes:

- nothing is raised, and each request is answered (or the connection closed);
- the process's peak memory grows by no more than ``max_body_size`` and one request, unpacked;
- no request takes more of the processor than so many seconds (``--seconds``, 2);
- the log grows by no more than 32 kB for each request.

Not covered: HTTP/2 and gRPC (only their framing differs, which ``bench.fuzz_engine`` has), Paddle's
own memory, ``--strict-compat``, and requests larger than that, above all honest lists of numbers,
which cost the memory of their arrays and of the answer.
Memory is the kernel's count of the whole process (``ru_maxrss``), so that what protobuf and orjson
take is in it. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from engine._batcher import Batcher
from engine._codec_protobuf import ProtobufCodec
from engine._connection import Connection
from engine._glog import Log
from engine._model import Model, Output
from engine._model_files import Graph, Input
from engine._prototxt import Variable
from engine._query import ServiceError, Tensor

from .amplifying import Amplifying, generate, ordinary

LIMIT = 64 << 20
SLOWEST_S = 2.0
# Bytes of log for a request: the cut reason, with every character escaped, in three files.
MOST_LOGGED = 32 * 1024
_PIECE = 256 * 1024
# Of address space beyond what the process has: more is a failure, and not the machine's end.
_MOST_ADDRESSES = 4 << 30


class Echo(Model):
    """A model whose output ``price`` is its feed ``x``, one float32 in each row."""

    def __init__(self) -> None:
        x = Variable("x", "x", 1, (1,), False)
        price = Variable("x", "price", 1, (1,), False)
        graph = Graph((Input("x", "float32", (-1, 1)),), ("x",), ())
        super().__init__(graph, [x], [price], together=False)

    def feed(self, tensors: Sequence[Tensor]) -> list[Output]:
        return [(tensors[0].array, ())]

    def watch(self, *_: object) -> None: ...

    def unwatch(self, *_: object) -> None: ...

    def close(self) -> None: ...


class Transport:
    """The socket's side of a connection: keeps what is written until it is sent."""

    def __init__(self) -> None:
        self.answers = 0
        self.most_unsent = 0
        self.closed = False
        self.reading = True
        self.connection: Connection
        self._unsent: list[bytes] = []
        self._high = 0

    def send(self) -> bool:
        """As if the client read all that there is; whether there was something."""
        if not self._unsent:
            return False
        self._unsent.clear()
        self.connection.resume_writing()
        return True

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int) -> None:
        self._high = high

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._unsent))

    def write(self, data: bytes) -> None:
        self.answers += 1
        self._unsent.append(data)
        unsent = self.get_write_buffer_size()
        self.most_unsent = max(self.most_unsent, unsent)
        if unsent > self._high:
            self.connection.pause_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closed = True

    abort = close


class Taken(NamedTuple):
    """What one input took: bytes of memory, seconds of the processor for each request."""

    memory: int
    seconds: float


def connected(log: Path) -> tuple[Connection, Transport]:
    """A connection of an engine that has no more than it needs, within a running loop."""
    host = SimpleNamespace(
        protobuf=ProtobufCodec(most=LIMIT),
        log=Log(log, stderr_threshold=4),
        limit=LIMIT,
        max_concurrency=0,
        strict=False,
        open_connections={},
    )
    model = Echo()

    def failed(error: ServiceError) -> None:
        assert len(error.text) < 1100

    host.batcher = Batcher(
        asyncio.get_running_loop(),
        model=lambda: model,
        log=host.log,
        engine_name="e",
        nodes=("a", "b", "c"),
        on_failure=failed,
        most=LIMIT,
    )
    transport = Transport()
    connection = Connection(cast(Any, host))
    transport.connection = connection
    connection.connection_made(cast(Any, transport))
    return connection, transport


async def serve(wire: Path, log: Path, requests: int) -> int:
    """Has one connection take the bytes of a file; gives the most bytes that lay unsent.

    Raises ``AssertionError`` for lost answers.
    """
    raised: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: raised.append(context))
    connection, transport = connected(log)
    with wire.open("rb") as file:
        while not transport.closed and (piece := file.read(_PIECE)):
            connection.data_received(piece)
            await _settled(connection, transport)
    # A farewell comes behind the turn of what came before it.
    await asyncio.sleep(0)
    assert not raised, raised
    answered = transport.answers
    assert transport.closed or answered == requests, f"{answered} of {requests} answered"
    return transport.most_unsent


async def _settled(connection: Connection, transport: Transport) -> None:
    """Returns when all that came in had its turn, and its answers are sent."""
    batcher = connection._host.batcher
    while not transport.closed:
        await asyncio.sleep(0)
        if not transport.send() and transport.reading and not batcher.waiting:
            return


def _in_child(wire: Path, log: Path, requests: int, seconds: float) -> None:
    """Never returns; exit code 0 when all went well."""
    code = 1
    try:
        status = Path("/proc/self/statm").read_text().split()
        most = int(status[0]) * resource.getpagesize() + _MOST_ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        whole = int(seconds * requests) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))
        asyncio.run(serve(wire, log, requests))
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {str(error)[:1000]}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


class Judge:
    """Runs inputs, each in a child process, and holds what they took against the limits."""

    def __init__(self, folder: Path, seconds: float = SLOWEST_S) -> None:
        self._folder = folder
        self._seconds = seconds
        self._base = 0
        # An ordinary request makes the interpreter and the libraries as large as they have to be.
        for _ in range(3):
            self._base += self.run(ordinary()).memory
            assert self._base < LIMIT

    def run(self, given: Amplifying) -> Taken:
        """Raises ``AssertionError``, which names the input, when a property does not hold."""
        wire, log = self._folder / "wire", self._folder / "log"
        wire.write_bytes(given.wire)
        for old in log.glob("*"):
            old.unlink()
        before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        pid = os.fork()
        if not pid:
            _in_child(wire, log, given.requests, self._seconds)
        _, status, used = os.wait4(pid, 0)
        memory = used.ru_maxrss * 1024 - before - self._base
        seconds = (used.ru_utime + used.ru_stime) / given.requests
        assert not os.WIFSIGNALED(status), (
            f"{given}: ended by signal {os.WTERMSIG(status)} after {seconds:.1f} s a request"
        )
        assert os.WEXITSTATUS(status) == 0, f"{given}: failed"
        assert memory <= LIMIT + given.body, f"{given}: {memory >> 20} MiB of memory"
        assert seconds <= self._seconds, f"{given}: {seconds:.1f} s a request"
        logged = sum(file.stat().st_size for file in log.glob("*") if not file.is_symlink())
        assert logged <= MOST_LOGGED * given.requests, f"{given}: {logged} bytes of log"
        return Taken(memory, seconds)


def fuzz(inputs: int, number: int, seconds: float = SLOWEST_S) -> Iterator[tuple[str, Taken]]:
    """Runs so many inputs; gives each one's kind and what it took. Raises ``AssertionError``."""
    random = Random(number)
    with tempfile.TemporaryDirectory(prefix="fuzz-amplifying-") as folder:
        judge = Judge(Path(folder), seconds)
        for place in range(inputs):
            given = generate(random, place)
            yield given.kind, judge.run(given)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench.fuzz_amplifying", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--inputs", type=int, default=300, help="how many (300)")
    options.add_argument("--seed", type=int, default=1, help="of the inputs (1)")
    options.add_argument(
        "--seconds", type=float, default=SLOWEST_S, help="of the processor for a request (2)"
    )
    words = options.parse_args()
    worst: dict[str, Taken] = {}
    counts: dict[str, int] = {}
    for kind, taken in fuzz(words.inputs, words.seed, words.seconds):
        known = worst.get(kind, Taken(0, 0.0))
        worst[kind] = Taken(max(known.memory, taken.memory), max(known.seconds, taken.seconds))
        counts[kind] = counts.get(kind, 0) + 1
    print(f"{'of':24} {'inputs':>7} {'most MiB':>9} {'slowest ms':>11}")
    for kind, taken in sorted(worst.items()):
        print(
            f"{kind:24} {counts[kind]:7d} {taken.memory / (1 << 20):9.1f} "
            f"{taken.seconds * 1e3:11.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
