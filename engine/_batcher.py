"""Queries that came in together go to the model together.

The event loop hands over every request that one look at the sockets brought. Then ``Batcher``
sends all of them to the model in one message, which saves most switches between the two processes.
No request waits for others: a lone request runs at once.

All of this happens in the loop's thread, between two looks at the sockets. A batch keeps its
model: a reload swaps between two batches, in one step for all clients.
"""

from __future__ import annotations

import asyncio
import time
from typing import Callable, NamedTuple, Protocol

from ._glog import Log, stamp
from ._model import Model, Output
from ._query import Answer, Query, ServiceError, inference_failed


class Reply(Protocol):
    """Where an answer goes: it knows the connection, the protocol and the encoding."""

    remote: str
    local: str

    def succeed(self, answer: Answer) -> None: ...

    def fail(self, error: ServiceError) -> None: ...


class Call(NamedTuple):
    """One query on its way through the engine, with its times in seconds since the epoch."""

    query: Query
    reply: Reply
    began: float
    decoded: float


class Counters:
    """What the page /status shows."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0


def as_service_error(error: Exception) -> ServiceError:
    """Return the error itself if it is a ``ServiceError``, else an E-5100 that names it."""
    if isinstance(error, ServiceError):
        return error
    return inference_failed(f"{type(error).__name__}: {error}")


class Batcher:
    """Runs calls on ``model()``; ``on_failure`` sees every failed query before its answer goes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        model: Callable[[], Model],
        log: Log,
        engine_name: str,
        nodes: tuple[str, ...],
        on_failure: Callable[[ServiceError], None],
    ) -> None:
        self._loop = loop
        self._model = model
        self._log = log
        self._engine_name = engine_name
        self._nodes = nodes
        self._on_failure = on_failure
        self._waiting: list[Call] = []
        self.counters = Counters()

    def submit(self, call: Call) -> None:
        """Take a call, which is answered before the loop looks at the sockets again."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(call)

    def _flush(self) -> None:
        calls, self._waiting = self._waiting, []
        model = self._model()
        fitting = []
        for call in calls:
            try:
                model.check(call.query)
                fitting.append(call)
            except Exception as error:
                self._failed(call, error)
        started = time.time()
        for call, result in zip(fitting, model.feed_each([call.query.tensors for call in fitting])):
            try:
                if isinstance(result, ServiceError):
                    raise result
                self._answer(model, call, result, started)
            except Exception as error:
                # For example an output that no field of the answer can carry.
                self._failed(call, error)

    def _answer(self, model: Model, call: Call, outputs: list[Output], started: float) -> None:
        ended = time.time()
        fetched = model.named(outputs, call.query.fetch)
        times = [call.began, ended]
        if call.query.profile:
            times = [call.began, call.decoded, started, ended, ended, time.time(), *times]
        answer = Answer(self._engine_name, fetched, tuple(int(one * 1e6) for one in times))
        call.reply.succeed(answer)
        self.counters.succeeded += 1
        self._log_request(call, started, ended, time.time())

    def _log_request(self, call: Call, started: float, ended: float, now: float) -> None:
        log, reply = self._log, call.reply
        logid = f"(logid={call.query.log_id})"
        reader, infer, response = self._nodes
        first = f"I{stamp(call.began)} {log.tid:5d}"
        last = f"I{stamp(now)} {log.tid:5d}"
        source = "general_model_service.pb.cc"
        log.info_text(
            f"{first} {source}:3443] {logid} remote_side=[{reply.remote}]\n"
            f"{first} {source}:3444] {logid} local_side=[{reply.local}]\n"
            f"{first} {source}:3445] {logid} service_name=[GeneralModelService]\n"
            f"{last} op.cpp:170] {logid} {reader}_time=[{(call.decoded - call.began) * 1e6:.0f}]\n"
            f"{last} op.cpp:170] {logid} {infer}_time=[{(ended - started) * 1e6:.0f}]\n"
            f"{last} op.cpp:170] {logid} {response}_time=[{(now - ended) * 1e6:.0f}]\n"
            f"{last} service.cpp:263] {logid} workflow total time: "
            f"{(now - call.began) * 1e6:.0f}\n"
            f"{last} {source}:3460] [serving]logid={call.query.log_id},"
            f"cost={(now - call.began) * 1e3:.3f}ms.\n"
        )

    def _failed(self, call: Call, error: Exception) -> None:
        try:
            self.fail(call.reply, as_service_error(error), call.query.log_id, call.began)
        except Exception as raised:
            # This call has no answer; the others must have theirs.
            self._log.error_line("service.cpp:251", f"{type(raised).__name__}: {raised}")

    def fail(self, reply: Reply, error: ServiceError, log_id: int, began: float) -> None:
        """Answer a query that failed, and log it as the real server does."""
        log = self._log
        first = f"I{stamp(began)} {log.tid:5d} general_model_service.pb.cc"
        log.info_text(
            f"{first}:3443] (logid={log_id}) remote_side=[{reply.remote}]\n"
            f"{first}:3444] (logid={log_id}) local_side=[{reply.local}]\n"
            f"{first}:3445] (logid={log_id}) service_name=[GeneralModelService]\n"
        )
        log.error_line("service.cpp:251", f"(logid={log_id}) {error.text}")
        log.warning_line(
            "general_model_service.pb.cc:3446",
            f"(logid={log_id}) Failed call inferservice[GeneralModelService], "
            f"name[GeneralModelService], error_code: {error.code}",
        )
        self.counters.failed += 1
        self._on_failure(error)
        reply.fail(error)
