"""Queries that wait together run together.

The event loop hands over every request that one look at the sockets brought; then ``Batcher``
runs them: those with the same feeds, types and row shapes in one ``predictor.run()`` when the
model's rows do not see each other (``Model.together``), the others one by one. Nothing waits for
company: a lone request runs at once.

All of it happens in the loop's thread, between two looks at the sockets, and every batch takes
the model once at its start: a reload swaps between two batches, in one step for everybody.
"""

from __future__ import annotations

import asyncio
import time
from typing import Callable, Protocol

from ._glog import Log, stamp
from ._model import Key, Model
from ._query import Answer, Fetched, Query, ServiceError, inference_failed

# Rows of one run; more gain nothing and hold up the others.
_MOST_ROWS = 1024


class Reply(Protocol):
    """Where an answer goes: it knows the connection, the protocol and the encoding."""

    remote: str
    local: str

    def succeed(self, answer: Answer) -> None: ...

    def fail(self, error: ServiceError) -> None: ...


class Call:
    """One query on its way through the engine, with its times in seconds since the epoch."""

    __slots__ = ("began", "decoded", "query", "reply")

    def __init__(self, query: Query, reply: Reply, began: float, decoded: float) -> None:
        self.query = query
        self.reply = reply
        self.began = began
        self.decoded = decoded


class Counters:
    """What the page /status shows."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0


def as_service_error(error: Exception) -> ServiceError:
    """E-5100 for whatever one query brings about: the others must have their answers."""
    if isinstance(error, ServiceError):
        return error
    return inference_failed(f"{type(error).__name__}: {error}")


class Batcher:
    """Runs calls on ``model()``. ``on_failure`` sees every failed query before its answer goes."""

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
        """Takes a call; it is answered before the loop looks at the sockets again."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(call)

    def _flush(self) -> None:
        calls, self._waiting = self._waiting, []
        model = self._model()
        groups: dict[Key, list[Call]] = {}
        for call in calls:
            try:
                key = model.check(call.query)
            except Exception as error:
                self._failed([call], as_service_error(error))
                continue
            if key is None:
                self._run(model, [call])
                continue
            group = groups.setdefault(key, [])
            group.append(call)
            if len(group) * call.query.tensors[0].array.shape[0] >= _MOST_ROWS:
                self._run(model, groups.pop(key))
        for group in groups.values():
            self._run(model, group)

    def _run(self, model: Model, calls: list[Call]) -> None:
        started = time.time()
        try:
            results = model.run_together([call.query for call in calls])
        except Exception as error:
            if len(calls) == 1:
                self._failed(calls, as_service_error(error))
            else:
                # One of them spoils it for all: find out which.
                for call in calls:
                    self._run(model, [call])
            return
        ended = time.time()
        for call, fetched in zip(calls, results):
            try:
                self._answer(model, call, fetched, started, ended)
            except Exception as error:
                # An output that no field of the answer can carry, for one.
                self._failed([call], as_service_error(error))

    def _answer(
        self, model: Model, call: Call, fetched: list[Fetched], started: float, ended: float
    ) -> None:
        query, reply = call.query, call.reply
        wanted = fetched
        if query.fetch:
            wanted = [fetched[place] for place in model.wanted(query.fetch)]
        whole = (int(call.began * 1e6), int(ended * 1e6))
        if query.profile:
            steps = (call.began, call.decoded, started, ended, ended, time.time())
            whole = (*(int(step * 1e6) for step in steps), *whole)  # type: ignore[assignment]
        reply.succeed(Answer(self._engine_name, tuple(wanted), whole))
        now = time.time()
        self.counters.succeeded += 1
        self._log_request(call, started, ended, now)

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

    def _failed(self, calls: list[Call], error: ServiceError) -> None:
        for call in calls:
            try:
                self.fail(call.reply, error, call.query.log_id, call.began)
            except Exception as raised:
                # This one has no answer; the others must have theirs.
                self._log.error_line("service.cpp:251", f"{type(raised).__name__}: {raised}")

    def fail(self, reply: Reply, error: ServiceError, log_id: int, began: float) -> None:
        """Answers a query that failed, and logs it as the real server does."""
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
