"""The clients that users have: the compiled one and each mode of HttpClient.

Each runs in a process of its own. The compiled client reads its process' command line, and works
only from a file.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .asking import NO_CLIENT
from .by_hand import ByHand
from .checks import JSON_BODY, PRICE, Differs, Missing, Subject, holds, same

# Twice what was measured: the machine may have other things to do.
RECOVERY_S = 8.0


ASKING = Path(__file__).with_name("asking.py")


def _command(configuration: Path, port: int, script: Path = ASKING) -> list[str]:
    return [sys.executable, str(script), str(configuration), f"127.0.0.1:{port}"]


def ask(
    subject: Subject, *words: str, port: int = 0, model: str = "uci", script: Path = ASKING
) -> tuple[Any, str]:
    """Run ``asking.py`` or a script like it; return its answer (JSON) and its standard error."""
    configuration = subject.client_configuration(model)
    done = subprocess.run(
        [*_command(configuration, port or subject.port, script), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    if done.returncode == NO_CLIENT:
        raise Missing(f"no client {words} here: {done.stderr[-600:]}")
    lines = done.stdout.splitlines()
    holds(done.returncode == 0 and bool(lines), f"{words}: {done.stderr[-600:]}")
    return json.loads(lines[-1]), done.stderr


def compiled_client(subject: Subject) -> None:
    """The compiled client: a row, a batch, a wrong feed name."""
    answers, errors = ask(subject, "compiled")
    same(answers["row"], [[PRICE]], "a row")
    same(answers["batch"], [[PRICE], [PRICE], [PRICE]], "a batch of three")
    same(answers["wrong name"], "ValueError: Wrong feed name: y.", "a wrong feed name")
    holds("client_cost=" in errors, errors[-300:])


def outage(subject: Subject) -> None:
    """The compiled client without its server: None and [E111] or [E112].

    With it again it recovers by itself in 2 to 4 s.
    """
    with subject.launch() as server, subject.folder() as folder:
        errors = folder / "errors"
        with errors.open("wb") as error:
            asking = subprocess.Popen(
                [*_command(subject.client_configuration(), server.port), "outage"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error,
                text=True,
            )
        with asking:
            try:
                said = _until(asking, "up")
                server.process.stop()
                print(file=asking.stdin, flush=True)
                said += _until(asking, "down")
                # On the same port, because the client knows no other.
                server.start()
                print(file=asking.stdin, flush=True)
                said += asking.communicate(timeout=60)[0].splitlines()
            finally:
                asking.kill()
        shown = errors.read_text(errors="replace")
    answers = json.loads(said[-1])
    took = answers.pop("recovered in s")
    same(
        answers,
        {"first": [[PRICE]], "during": None, "after": [[PRICE]]},
        f"predictions ({shown[-300:]})",
    )
    holds(took < RECOVERY_S, f"it took {took:.1f} s to recover")
    failed = re.search(r"inference call failed, message: \[E(\d+)\]", shown)
    holds(failed and failed[1] in ("111", "112"), shown[-600:])


def _until(asking: subprocess.Popen[str], word: str) -> list[str]:
    """Return the lines that the client prints, up to one word. The client ends if it fails."""
    assert asking.stdout is not None
    lines = []
    for line in asking.stdout:
        lines.append(line.rstrip("\n"))
        if lines[-1] == word:
            return lines
    raise Differs(f"the client ended before {word!r}: {lines[-3:]}")


def http_client(subject: Subject, mode: str) -> None:
    """HttpClient with {mode}."""
    answers, _ = ask(subject, "http", mode)
    same(answers, [PRICE] * 200 if "gzip" in mode else [PRICE])


def curl(subject: Subject, option: str) -> None:
    """The program curl with {option}."""
    program = shutil.which("curl")
    if program is None:
        raise Missing("curl is not installed")
    url = f"http://127.0.0.1:{subject.port}/GeneralModelService/inference"
    done = subprocess.run(
        [program, "-sS", "--max-time", "20", option, "-d", "@-", url],
        input=JSON_BODY,
        capture_output=True,
        check=False,
    )
    holds(done.returncode == 0, done.stderr.decode())
    same(json.loads(done.stdout)["outputs"][0]["tensor"][0]["float_data"], [PRICE])


def wrong_shape(subject: Subject) -> bool:
    """A feed of the wrong shape gives the compiled client nothing, and the server aborts."""
    server = subject.server
    answers, errors = ask(subject, "wrong shape")
    same(answers, None)
    if "[E-5100]" not in errors:

        def ask_it(one: ByHand) -> None:
            same(ask(subject, "wrong shape", port=one.port)[0], None)

        subject.dies_of(signal.SIGABRT, ask_it, "a wrong shape")
        return False
    holds("feed x has the shape [1, 12]" in errors, errors[-400:])
    same(ask(subject, "http", "JSON", port=server.port)[0], [PRICE])
    return True
