"""The trial of a serving binary: proves on a small model that it serves and reloads here.

The real launcher starts the binary on ``trial_model``. Each client gets a prediction. The model
changes, and each client gets the other prediction. SIGINT ends the server. A good binary takes 10
s, any other at most 60 s. ``.cache/serving/trials/<key>/`` keeps the output and the result for the
next run (``proof``).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from harness.checker import history as histories
from harness.checker.leg_history import same
from harness.load.asking import KINDS
from harness.support.errors import BadInput, Failed
from harness.support.live_directory import TIME_FILE
from harness.support.paths import cache_dir
from harness.support.ports import free_port, is_listening
from harness.support.process import Process
from harness.support.waits import wait_for

from . import proof
from .binary import ServingBinary
from .local import LocalServing
from .turn import one_at_a_time

Say = Callable[[str], None]
_MODEL = Path(__file__).with_name("trial_model")
_NAME = "uci_housing_model"
_RTOL = 1e-5
# How long to wait for the trial of another run: a little more than its 60 s.
_OTHERS_TRIAL_S = 90.0
# How many bytes a binary may print, and how many of the last are searched for a cause.
_MOST_PRINTED = 32 << 20
_LAST_PRINTED = 1 << 16
# Lines of the launcher itself.
_LAUNCHERS = re.compile(r"Use local bin : |Going to Run Comand|.+ -enable_model_toolkit ")
_TELLING = re.compile(
    r"error|cannot|can't|fail|fatal|not found|no such|abort|terminate|what\(\)|illegal|undefined"
    r"|segmentation|denied|GLIBC",
    re.IGNORECASE,
)
# The shell's lines about a signal, which say less than the program's own lines.
_SIGNALLED = re.compile(r"(sh: .*)?(Aborted|Segmentation fault|Killed|Terminated)\b.{0,20}$")


@dataclass(frozen=True)
class Limits:
    """How long each step may take, in seconds.

    ``total_s`` is for all steps; ending what was started takes at most 10 s more.
    """

    # Until the port listens.
    start_s: float = 35.0
    # Until each client has an answer.
    answer_s: float = 20.0
    # Until each client has an answer of the new model.
    reload_s: float = 15.0
    # Until the server has ended.
    stop_s: float = 8.0
    total_s: float = 50.0


@dataclass(frozen=True)
class Result:
    """How a trial ended; ``sentence`` says what failed, what was printed and where the log is."""

    # Whether each step worked.
    passed: bool
    sentence: str
    # The folder of the trial (``proof``).
    key: str
    # When the trial was.
    utc: str


class _NotProven(Exception):
    """The binary failed a step; the text says which."""


def prove(
    program: Path,
    name: str,
    device: str,
    say: Say,
    *,
    again: bool = False,
    limits: Limits = Limits(),
) -> Result:
    """Return the result of a binary's trial; run the trial if no result is remembered.

    Args:
        program: The binary that the launcher starts.
        name: The binary in words, the subject of the sentence.
        device: ``cpu`` or ``gpu``.
        say: Called with a line when a trial begins or waits.
        again: Run the trial even if a result is remembered.
        limits: How long each step may take.

    Raises:
        BadInput: The result cannot be kept, or this machine cannot run a trial.
    """
    trials = cache_dir("serving") / "trials"
    try:
        key = proof.key_of(str(program), device)
        known = None if again else _remembered(trials / key, name)
        if known is not None:
            return known
        trials.mkdir(exist_ok=True)
        with one_at_a_time(trials / "lock", "a trial", say, _OTHERS_TRIAL_S):
            known = None if again else _remembered(trials / key, name)
            if known is not None:
                return known
            folder = trials / key
            return _try(program, name, device, folder=folder, say=say, limits=limits)
    except OSError as error:
        raise BadInput(
            f"the trial of {name} cannot be kept in {trials} ({error.strerror or error}: "
            f"{error.filename}); mend that, or name another cache in HARNESS_CACHE"
        ) from error


def _remembered(folder: Path, name: str) -> Optional[Result]:
    found = proof.result_of(str(folder.parent), folder.name)
    if found is None:
        return None
    # The stored sentence has no name: another name may have led to the same bytes.
    sentence = f"{name} {found['sentence']}"
    return Result(bool(found["passed"]), sentence, folder.name, str(found["utc"]))


def _try(
    program: Path, name: str, device: str, *, folder: Path, say: Say, limits: Limits
) -> Result:
    from harness.load.patched_client import patched_library

    # Before the clock starts: a client that cannot be made is not the binary's fault.
    patched_library(say)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say(f"trying {name}: start, predictions, a reload, stop (at most 60 s; {folder})")
    begin = time.monotonic()
    failure = ""
    try:
        _Trial(program, device, folder, limits).run()
    except _NotProven as error:
        failure = str(error)
    took = time.monotonic() - begin
    sentence = "passed its trial"
    if failure:
        log = folder / "launcher.log"
        sentence = f"failed its trial: {failure}; {_printed(folder)}; log: {log}"
    say(f"{name} {'failed' if failure else 'passed'} its trial in {took:.1f} s")
    result = {
        "passed": not failure,
        "sentence": sentence,
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(took, 1),
        "program": str(program),
        "digest": proof.digest(str(program)),
        **proof.machine(device),
        "version": proof.VERSION,
    }
    # By rename, so that a reader finds a complete result or none.
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
        json.dump(result, file, indent=1)
    os.chmod(file.name, 0o644)
    os.replace(file.name, folder / proof.RESULT)
    return Result(not failure, f"{name} {sentence}", folder.name, str(result["utc"]))


class _Trial:
    """One trial, in an empty folder."""

    def __init__(self, program: Path, device: str, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._end = time.monotonic() + limits.total_s
        self._live = folder / _NAME
        self._history = folder / "history.jsonl"
        expected = json.loads((_MODEL / "expected.json").read_text())
        self._fetch: str = expected["fetch"]
        self._answers: list[list[float]] = expected["answers"]
        self._feed = folder / "feed.json"
        self._feed.write_text(json.dumps(expected["feed"]))
        shutil.copytree(_MODEL / "release-1", self._live)
        self._serving = LocalServing(
            folder,
            binary=ServingBinary("given", program, "", ""),
            port=free_port(),
            model=_NAME,
            gpu_ids="0" if device == "gpu" else None,
        )
        self._clients: dict[str, Process] = {}

    def run(self) -> None:
        """Run all steps. Raises ``_NotProven``."""
        with contextlib.ExitStack() as started:
            # SIGKILL, because SIGTERM would wait, and the trial needs nothing more.
            started.callback(self._serving.kill)
            self._serving.start()
            self._wait_ready()
            for kind in KINDS:
                client = self._client(kind)
                self._clients[kind] = client
                started.callback(client.kill)
                client.start()
            self._wait_for_answers(0, self._limits.answer_s, "no prediction came back")
            self._change_the_model()
            self._wait_for_answers(1, self._limits.reload_s, "the changed model was not reloaded")
            for client in self._clients.values():
                client.kill()
            self._stop()

    def _left(self, limit_s: float) -> float:
        return max(0.0, min(limit_s, self._end - time.monotonic()))

    def _check_log(self) -> None:
        size = (self._folder / "launcher.log").stat().st_size
        if size > _MOST_PRINTED:
            raise _NotProven(f"it printed more than {_MOST_PRINTED >> 20} MiB")

    def _wait_ready(self) -> None:
        import requests

        limit = self._left(self._limits.start_s)
        end = time.monotonic() + limit
        opened = False
        lacking = "did not answer /health"
        while time.monotonic() < end:
            self._check_log()
            if self._serving.returncode is not None:
                raise _NotProven(
                    "it ended before it answered"
                    if opened
                    else "it ended before it opened its port"
                )
            opened = opened or is_listening(self._serving.port)
            with contextlib.suppress(requests.RequestException):
                if opened:
                    if self._serving.healthy():
                        return
                    lacking = "answered /health with an error or has no log/serving.INFO"
            time.sleep(0.05)
        if not opened:
            raise _NotProven(f"it did not open its port within {limit:.0f} s")
        raise _NotProven(f"it opened its port and {lacking} within {limit:.0f} s")

    def _client(self, kind: str) -> Process:
        argv = [sys.executable, "-m", "harness.load.probe", kind]
        argv += ["--port", str(self._serving.port), "--feed", str(self._feed)]
        argv += ["--client_config", str(_MODEL / "client"), "--fetch", self._fetch]
        argv += ["--history", str(self._history), "--remote", "trial", "--rate", "10"]
        argv += ["--timeout", str(self._limits.answer_s)]
        # The server is on this machine, which the user's proxy does not reach.
        direct = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
        return Process(
            f"the {kind} client",
            argv,
            log=self._folder / f"client-{kind}.log",
            env={**os.environ, **direct},
        )

    def _wait_for_answers(self, release: int, limit_s: float, otherwise: str) -> None:
        """Wait until each client got a release's answer; refuse unknown answers."""
        limit = self._left(limit_s)
        end = time.monotonic() + limit
        lacking = set(KINDS)
        while time.monotonic() < end:
            self._check_log()
            gone = self._serving.returncode is not None
            for event in self._predictions():
                self._judge(event, release)
                if same(event["value"], self._answers[release], _RTOL):
                    lacking.discard(event["client"])
            if not lacking:
                return
            if gone:
                raise _NotProven(f"it ended while it served: {otherwise}")
            for client in self._clients.values():
                with _as_not_proven():
                    client.check()
            time.sleep(0.05)
        raise _NotProven(f"{otherwise} within {limit:.0f} s (client: {', '.join(sorted(lacking))})")

    def _predictions(self) -> Iterator[dict[str, Any]]:
        if self._history.exists():
            yield from (e for e in histories.read(self._history) if e["event"] == "prediction")

    def _judge(self, event: dict[str, Any], release: int) -> None:
        client = event["client"]
        if "error" in event:
            raise _NotProven(f"a request of the {client} client failed ({event['error']})")
        known = self._answers[: release + 1]
        if not any(same(event["value"], answer, _RTOL) for answer in known):
            raise _NotProven(
                f"the {client} client was answered {event['value']} instead of {known[-1]}"
            )

    def _change_the_model(self) -> None:
        for path in (_MODEL / "release-2").iterdir():
            beside = self._folder / path.name
            shutil.copy(path, beside)
            beside.replace(self._live / path.name)
        tag = self._live / TIME_FILE
        # A whole second that the server has not seen.
        second = max(int(time.time()), int(tag.stat().st_mtime)) + 1
        os.utime(tag, (second, second))

    def _stop(self) -> None:
        limit = self._left(self._limits.stop_s)
        identity = self._serving.identity()
        if identity is None:
            raise _NotProven("nothing listened on its port any more")
        os.kill(int(identity.partition("@")[0]), signal.SIGINT)
        with _as_not_proven(f"it did not end within {limit:.0f} s of SIGINT"):
            wait_for(lambda: self._serving.returncode is not None, "its end", limit)


@contextlib.contextmanager
def _as_not_proven(what: str = "") -> Iterator[None]:
    try:
        yield
    except Failed as error:
        raise _NotProven(what or str(error).splitlines()[0]) from None


def _printed(folder: Path) -> str:
    """Return a phrase with the last line of output that points to a cause."""
    lines: list[str] = []
    for path in (
        folder / "launcher.log",
        folder / "log/serving.ERROR",
        folder / "log/serving.FATAL",
    ):
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LAST_PRINTED))
            lines += file.read().decode(errors="replace").splitlines()
    own = [line.strip() for line in lines if line.strip() and not _LAUNCHERS.match(line)]
    telling = [line for line in own if _TELLING.search(line)] or own
    telling = [line for line in telling if not _SIGNALLED.match(line)] or telling
    if not telling:
        return "it printed nothing"
    text = "".join(char if char.isprintable() else "?" for char in telling[-1])
    # The middle of a long line is usually a path.
    text = text if len(text) <= 300 else f"{text[:100]} … {text[-200:]}"
    return f'it printed "{text}"'
