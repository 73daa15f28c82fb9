"""Locust's load on a Paddle Serving server over HTTP (JSON) and gRPC, from many machines.

    locust -f harness/load/locustfile.py --master …     beside the run, on its machine
    locust -f harness/load/locustfile.py --worker …     on each other machine

The workers take the options below from the master. Each worker writes a history: an event
``prediction`` for each request, and clock records. The run and the master use the same
clock. ``python -m harness merge`` puts all histories on this clock. docs/load.md has the commands.

The load is open-loop, as in ``harness.load.probe``: each user is a client with one connection.
Request n has a planned time, n / rate after the first. Locust's own tables count from the planned
time, too.
"""

from __future__ import annotations

import socket
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any, Optional

import gevent
import grpc.experimental.gevent
import numpy  # noqa: F401
import paddle_serving_client  # noqa: F401
from locust import User, events, task
from locust.runners import MasterRunner, WorkerRunner

from harness.checker.history import History
from harness.load.asking import asker
from harness.load.clock import ClockServer, record_clock
from harness.load.lag import Lag
from harness.support.errors import HarnessError

# gRPC's own threads would block all users of the process. So would an import in ``asker``, and
# numpy and the clients are imported above.
grpc.experimental.gevent.init_gevent()

# Seconds between two looks at the master's clock.
_CLOCK_EVERY_S = 1.0
_REQUIRED = ("serving", "client_config", "feed", "fetch", "remote")


@events.init_command_line_parser.add_listener
def _add_options(parser: Any) -> None:
    option = parser.add_argument_group("Paddle Serving", "given to the master").add_argument
    option("--serving", metavar="HOST:PORT", help="the server")
    option("--client-config", metavar="DIR", help="the client's prototxt, on each worker")
    option("--feed", metavar="FILE", help="one row as JSON: values by name; on each worker")
    option("--fetch", metavar="ALIAS", help="alias of the fetched variable")
    option("--remote", metavar="NAME", help="the remote of the run, for the history")
    option("--server", metavar="N", help="the server's number, if the run has several servers")
    option("--rate", type=float, default=10.0, help="requests a second that each user plans")
    option(
        "--timeout", type=float, default=10.0, help="seconds after which a request counts as failed"
    )
    option("--histories", metavar="DIR", default=".", help="the folder for each worker's history")
    option(
        "--clock-port",
        type=int,
        default=5559,
        help="the port at which workers ask the master's clock",
    )


class _Worker:
    """What the users of one process share: its history, and its look at the master's clock."""

    def __init__(self, options: Any, index: int) -> None:
        self.options = options
        # Different on each machine, and in each of Locust's runs.
        self.name = f"{socket.gethostname()}-{index}-{int(time.time())}"
        self.history = History(Path(options.histories) / f"locust-{self.name}.jsonl")
        self._numbers = count(1)
        self._look()
        self._looking = gevent.spawn(self._look_regularly)

    def _look(self) -> None:
        # Locust's master runs beside the run, on the clock of its history.
        host, port = self.options.master_host, self.options.clock_port
        record_clock(host, port, worker=self.name, history=self.history)

    def _look_regularly(self) -> None:
        while True:
            gevent.sleep(_CLOCK_EVERY_S)
            self._look_if_possible()

    def _look_if_possible(self) -> None:
        try:
            self._look()
        except HarnessError as error:
            # The other exchanges remain, so ``merge`` only reports a larger error.
            print(f"locustfile: {error}", file=sys.stderr)

    def new_client(self, kind: str) -> str:
        """Return the name of another client of this worker."""
        return f"{kind}-{self.name}-{next(self._numbers)}"

    def close(self) -> None:
        """Look at the clock a last time and end the history."""
        self._looking.kill()
        self._look_if_possible()
        self.history.close()


_worker: Optional[_Worker] = None


def _fail(error: object) -> None:
    print(f"locustfile: {error}", file=sys.stderr)
    # Ends the process also from one of Locust's greenlets.
    sys.exit(2)


@events.init.add_listener
def _init(environment: Any, **_: object) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    options = environment.parsed_options
    missing = [f"--{name.replace('_', '-')}" for name in _REQUIRED if not vars(options)[name]]
    if missing:
        _fail(f"the master lacks {', '.join(missing)}; docs/load.md has an example")
    everywhere = options.master_bind_host == "*"
    try:
        clock = ClockServer("" if everywhere else options.master_bind_host, options.clock_port)
    except OSError as error:
        _fail(f"--clock-port {options.clock_port} cannot be used: {error.strerror}; name another")
    else:
        clock.start()


@events.test_start.add_listener
def _test_start(environment: Any, **_: object) -> None:
    global _worker  # noqa: PLW0603  (Locust gives its users no place of their own)
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        return
    try:
        _worker = _Worker(environment.parsed_options, getattr(runner, "worker_index", 0))
    except HarnessError as error:
        _fail(error)


@events.test_stop.add_listener
def _test_stop(**_: object) -> None:
    if _worker is not None:
        _worker.close()


class _ServingUser(User):
    """One client with one connection that plans its requests at ``--rate``."""

    abstract = True
    kind = ""

    def on_start(self) -> None:
        assert _worker is not None
        options = _worker.options
        labels = {"server": options.server} if options.server else {}
        self._history, self._remote = _worker.history.labelled(**labels), options.remote
        self._rate, self._fetch = options.rate, options.fetch
        self._client = _worker.new_client(self.kind)
        self._ask = asker(
            self.kind,
            options.serving,
            client_config=Path(options.client_config),
            feed=Path(options.feed),
            fetch=options.fetch,
            timeout_s=options.timeout,
        )
        self._asked = 0
        self._lag = Lag()
        self._begin = time.monotonic()

    def wait_time(self) -> float:
        """Return the seconds to the next planned time."""
        return max(0.0, self._planned() - time.monotonic())

    def _planned(self) -> float:
        return self._begin + self._asked / float(self._rate)

    @task
    def predict(self) -> None:
        planned = self._planned()
        fields: dict[str, object] = {"remote": self._remote, "client": self._client}
        fields["planned"] = planned
        failed: Optional[Exception] = None
        fields["sent"] = sent = time.monotonic()
        try:
            fields["value"] = self._ask()
        except Exception as error:  # whatever a client library raises is a failed request
            failed = error
            fields["error"] = f"{type(error).__name__}: {error}"
        answered = time.monotonic()
        self._asked += 1
        self._history.record("prediction", **fields, n=self._asked, answered=answered)
        self._lag.add(planned=planned, sent=sent, answered=answered)
        events.request.fire(
            request_type=self.kind,
            name=self._fetch,
            response_time=(answered - planned) * 1e3,
            response_length=0,
            exception=failed,
        )

    def on_stop(self) -> None:
        due = int((time.monotonic() - self._begin) * self._rate) + 1
        client = {"remote": self._remote, "client": self._client}
        ended = {"asked": self._asked, "planned": due, "lag": self._lag.as_json()}
        self._history.record("client_ended", **client, **ended)
        # Closes the gRPC channel now. At the end of the process, the closing would never return.
        del self._ask


class Http(_ServingUser):
    """A client over HTTP with a JSON body."""

    kind = "http"


class Grpc(_ServingUser):
    """A client over gRPC."""

    kind = "grpc"
