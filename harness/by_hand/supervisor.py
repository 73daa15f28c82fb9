"""The supervisor: a process that holds the parts of a leg until ``down``, and answers requests.

``Place.ask`` sends a request. Each request has a thread. Requests to publish and to roll back wait
in one queue, because both take time. Requests to break and to mend do not wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from dataclasses import dataclass
from typing import Any, Callable, Optional

from harness.checker import history as histories
from harness.checker.history import History
from harness.faults import registry
from harness.faults.base import Fault
from harness.run import e2e
from harness.run.equipment import Equipment
from harness.run.leg import Leg
from harness.run.our_producer import BAD_RELEASES
from harness.run.targets import caused
from harness.support.errors import BadInput, Failed, HarnessError
from harness.support.process import new_mark
from producer.errors import ProducerError
from producer.publish import Access, connect, parse

from .place import Place, Reply

# How long a request waits for a release to be published, or to be rolled back.
_PATIENCE_S = 20.0
_READ_S = 2.0


@dataclass
class _Broken:
    # What is broken.
    fault: Fault
    # Ends the fault.
    undo: contextlib.ExitStack
    # When it began (CLOCK_MONOTONIC, in seconds).
    since: float


class Supervisor:
    """The parts of a leg, and the requests that it answers.

    Args:
        leg: Is not started yet.
    """

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.ready = False
        self.ending = threading.Event()
        # Set when all parts have stopped, with the reply to ``down``.
        self.ended: Future[Reply] = Future()
        self._broken: list[_Broken] = []
        self._faults = threading.Lock()
        self._queue = ThreadPoolExecutor(1, "publish")
        self._queued: Optional[Future[Reply]] = None
        self._announced: Optional[str] = None
        self._reading: Optional[threading.Thread] = None
        self._done: Mapping[str, Callable[..., Reply]] = {
            "status": self._status,
            "down": self._down,
        }
        self._done_when_ready: Mapping[str, Callable[..., Reply]] = {
            "publish": self._publish,
            "rollback": self._rollback,
            "break": self._break,
            "mend": self.mend,
            "restart": self._restart,
        }

    def answer(self, request: Mapping[str, Any]) -> Reply:
        """Do what is asked, and return the reply."""
        fields = dict(request)
        do = fields.pop("do")
        try:
            if do in self._done:
                return self._done[do](**fields)
            if not self.ready or self.ending.is_set():
                raise BadInput(
                    "the parts start or stop now; `.venv/bin/python -m harness status` says more"
                )
            return self._done_when_ready[do](**fields)
        except HarnessError as error:
            return {"error": str(error), "exit": error.exit_code}
        except Exception as error:  # without a reply, the command says that nothing is up
            # Standard error is the supervisor's log.
            traceback.print_exc()
            why = f"the supervisor could not do this: {type(error).__name__}: {error}"
            return {"error": f"{why}; its log says more", "exit": Failed.exit_code}

    def close(self) -> None:
        """End the queue. The leg has stopped, so nothing waits any more."""
        self._queue.shutdown()

    def _publish(self, bad: str) -> Reply:
        if bad and bad not in BAD_RELEASES:
            raise BadInput(f"--bad {bad} is not known; use one of {', '.join(BAD_RELEASES)}")
        if "producer" in self._down_on_purpose:
            raise BadInput("the producer is down; type `.venv/bin/python -m harness mend` first")
        number = int(self.leg.published[-1]["release"]) + 1

        def publish() -> Reply:
            event = self.leg.announce(bad)
            return {"release": event["release"]}

        return self._one_after_the_other(publish, {"pending": number})

    def _rollback(self) -> Reply:
        def roll_back() -> Reply:
            self.leg.rollback()
            return {}

        return self._one_after_the_other(roll_back, {"pending": 0})

    def _one_after_the_other(self, work: Callable[[], Reply], pending: Reply) -> Reply:
        if self._queued is not None and not self._queued.done():
            raise BadInput(
                "an earlier release is not public yet, because the producer tries until the remote "
                "takes it; mend the remote, or wait"
            )
        self._queued = self._queue.submit(work)
        try:
            return self._queued.result(_PATIENCE_S)
        except TimeoutError:
            return pending

    def _break(self, fault: str, parameters: Mapping[str, object]) -> Reply:
        made = registry.make(fault, parameters)
        made.require()
        for need in made.needs - {"gate"}:
            raise BadInput(
                f"the fault {fault} needs a {need} of its own, which a run by hand does not have; "
                "use a scenario (docs/scenarios.md)"
            )
        with self._faults:
            if made.target in self._down_on_purpose:
                raise BadInput(
                    f"{made.target} is down already; `.venv/bin/python -m harness mend` starts it"
                )
            undo = contextlib.ExitStack()
            undo.enter_context(caused(made, self.leg))
            self._broken.append(_Broken(made, undo, time.monotonic()))
        return {"broken": _named(made)}

    def mend(self) -> Reply:
        """End all faults.

        Raises:
            BadInput: Nothing is broken.
            Exception: A fault did not end. The other faults have ended.
        """
        with self._faults:
            broken, self._broken = self._broken, []
            # The stack ends the newest fault first, and goes on if a fault does not end.
            with contextlib.ExitStack() as undo:
                for one in broken:
                    undo.callback(one.undo.close)
        if not broken:
            raise BadInput(
                "nothing is broken; `.venv/bin/python -m harness break FAULT` breaks a part"
            )
        return {"mended": [_named(one.fault) for one in reversed(broken)]}

    def _restart(self, part: str) -> Reply:
        with self._faults, caused(registry.make("kill", {"target": part}), self.leg):
            pass
        return {}

    def _down(self) -> Reply:
        self.ending.set()
        return self.ended.result()

    def _status(self, announced: bool = False) -> Reply:
        leg = self.leg
        reply: Reply = {"ready": self.ready, "pid": os.getpid(), "remote": leg.remote.name}
        if not self.ready:
            return reply
        reply.update(
            url=leg.remote.url,
            port=leg.sides[0].serving.port,
            poll_s=leg.settings.poll_s,
            tick_s=leg.settings.tick_s,
            parts=self._parts(),
            broken=[{"fault": _named(one.fault), "since": one.since} for one in list(self._broken)],
            folders=self._folders(),
            client_config=str(leg.folder / "producer" / "client"),
            feed=str(leg.folder / "feed.json"),
            fetch=leg.published[-1]["manifest"]["fetches"][0]["alias"],
            queued=self._queued is not None and not self._queued.done(),
        )
        if announced:
            reply["announces"] = self._announces()
        return reply

    def _folders(self) -> dict[str, str]:
        leg = self.leg
        return {
            "remote": str(leg.remote.folder),
            "producer's log": str(leg.folder / "producer.log"),
            "monitor's log": str(leg.sides[0].monitor_log),
            "live directory": str(leg.sides[0].live_dir),
            "server's log": str(leg.sides[0].serving.log_file),
            "history": str(leg.history.path),
        }

    @property
    def _down_on_purpose(self) -> set[str]:
        broken = [one.fault for one in list(self._broken)]
        return {fault.target for fault in broken if fault.name in ("kill", "restart")}

    def _parts(self) -> dict[str, str]:
        """Return the state of each part in words."""
        leg = self.leg
        checks: dict[str, Callable[[], None]] = {
            "remote": leg.remote.check,
            "producer": leg.publisher.check,
            "monitor": leg.sides[0].monitor.check,
            "server": leg.sides[0].serving.check,
        }
        states = {}
        for part, check in checks.items():
            try:
                check()
                states[part] = "runs"
            except Failed as error:
                states[part] = str(error).splitlines()[0]
            if part in self._down_on_purpose:
                states[part] = "is down on purpose"
        return states

    def _announces(self) -> str:
        """Return what the remote's donefile says, or why the remote does not say it.

        A broken remote may block a reader for a long time. The reader then continues in its thread.
        """
        if self._reading is None or not self._reading.is_alive():
            self._announced = None
            self._reading = threading.Thread(target=self._read, daemon=True)
            self._reading.start()
        self._reading.join(_READ_S)
        return self._announced or f"no answer within {_READ_S:g} s"

    def _read(self) -> None:
        remote = self.leg.remote
        password = remote.producer_environment.get("PRODUCER_FTP_PASSWORD")
        try:
            content = connect(parse(remote.url), Access(ftp_password=password)).read("donefile")
            said = json.loads(content or b"{}")
            self._announced = f"release {said['release']}" if "release" in said else "no release"
        except (ProducerError, ValueError) as error:
            self._announced = f"no answer: {str(error).replace(remote.url, '')}"


def _named(fault: Fault) -> str:
    given = ", ".join(f"{key}={value}" for key, value in fault.parameters.items())
    return f"{fault.name} of {fault.target}" + (f" ({given})" if given else "")


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        line = self.rfile.readline()
        if line:
            assert isinstance(self.server, _Server)
            reply = self.server.supervisor.answer(json.loads(line))
            # The command may have been interrupted meanwhile.
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(json.dumps(reply).encode() + b"\n")


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    # Every reply is sent before the process ends.
    daemon_threads = False

    def __init__(self, place: Place, supervisor: Supervisor) -> None:
        super().__init__("", _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = place.listening()
        self.supervisor = supervisor


def supervise(place: Place, settings: e2e.RunSettings) -> int:
    """Start the parts, and hold them until ``down`` or a signal. Return the exit code.

    Args:
        place: The folder of the run.
        settings: Are checked and have one remote. The steps are not taken.

    Raises:
        BadInput: A prerequisite is missing, or a run by hand is up already.
        Failed: A part does not start or does not stop.
        KeyboardInterrupt: A signal came; all parts have stopped.
    """
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:5.1f} s] {text}", flush=True)

    mark = new_mark()
    with place.taken(mark):
        e2e.prepare(settings, say)
        binary = e2e.serving_binary(settings, say)
        say(f"serving binary: {binary}")
        history = History(place.history)
        (remote,) = settings.remotes
        history.record(
            "run",
            schema=histories.SCHEMA,
            scenario=settings.scenario,
            utc=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            seed=settings.leg.seed,
            remotes=[remote.name],
            on=settings.on,
            serving=str(binary),
            device=settings.device,
        )
        leg = e2e.new_leg(
            settings,
            remote,
            place.folder / remote.name,
            binary=binary,
            history=history,
            say=say,
            equipment=Equipment(),
            mark=mark,
        )
        supervisor = Supervisor(leg)
        with contextlib.closing(history), _Server(place, supervisor) as server:
            serving = threading.Thread(target=server.serve_forever, daemon=True)
            serving.start()
            try:
                _hold(supervisor)
            finally:
                supervisor.close()
                server.shutdown()
    return 0


def _hold(supervisor: Supervisor) -> None:
    """Start the parts, wait for ``down``, and stop the parts."""
    leg = supervisor.leg
    begin = time.monotonic()
    try:
        with leg:
            supervisor.ready = True
            leg.say("all parts are up")
            supervisor.ending.wait()
            # The history then has the end of each fault.
            with contextlib.suppress(HarnessError):
                supervisor.mend()
        # The user has decided how many releases there are.
        planned = next(e for e in histories.read(leg.history.path) if e["event"] == "settings")
        given = {key: value for key, value in planned.items() if key not in ("event", "t")}
        leg.history.record("settings", **{**given, "releases": len(leg.published)})
        leg.history.record("leg_ended", remote=leg.remote.name, seconds=time.monotonic() - begin)
        leg.history.record("end")
    except BaseException as error:
        supervisor.ending.set()
        code = error.exit_code if isinstance(error, HarnessError) else Failed.exit_code
        supervisor.ended.set_result({"error": str(error) or "interrupted", "exit": code})
        raise
    supervisor.ended.set_result({})
