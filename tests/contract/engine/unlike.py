"""Servers that are deliberately unlike: the engine behind a script that spoils one thing.

Nothing in the engine itself can be switched to lie.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

START = """\
#!{python}
import os, pathlib, re, signal, socket, subprocess, sys, threading, time
ENGINE = {engine!r}
WORDS = sys.argv[1:]
"""
# Copies the engine's log while it is written, changed, to where the log is looked for.
LOG = """
real = pathlib.Path("really")
real.mkdir(exist_ok=True)
pathlib.Path("log").mkdir(exist_ok=True)
one = subprocess.Popen([ENGINE, *WORDS, "-log_dir", "really"])
signal.signal(signal.SIGTERM, lambda *_: one.terminate())
signal.signal(signal.SIGINT, lambda *_: one.send_signal(signal.SIGINT))
until = time.monotonic() + 300
while one.poll() is None and time.monotonic() < until:
    for file in real.glob("serving.[A-Z]*"):
        if file.is_symlink():
            text = file.read_text().replace({old!r}, {new!r})
            beside = pathlib.Path("log", file.name + ".new")
            beside.write_text(text)
            beside.rename(pathlib.Path("log", file.name))
    time.sleep(0.02)
one.kill()
"""
# A proxy before the engine. It changes requests and answers, or hangs up, or dies. Started again in
# the same folder, it answers no request for some seconds.
ANSWERS = """
file = pathlib.Path("really.prototxt")
workdir = WORDS[WORDS.index("-inferservice_path") + 1]
silent_until = time.monotonic() + ({late_s} if file.exists() else 0)
given = pathlib.Path(workdir, "infer_service.prototxt").read_text()
port = int(re.search(r"port: (\\d+)", given)[1])
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    behind = free.getsockname()[1]
file.write_text(given.replace(str(port), str(behind)))
words = [*WORDS, "-inferservice_path", ".", "-inferservice_file", file.name]
one = subprocess.Popen([ENGINE, *words])
signal.signal(signal.SIGTERM, lambda *_: one.terminate())
signal.signal(signal.SIGINT, lambda *_: one.send_signal(signal.SIGINT))
listening = socket.create_server(("127.0.0.1", port))

def hang_up():
    raise OSError

def die():
    one.kill()
    os._exit(134)

def carry(source, target, spoil):
    try:
        while data := source.recv(65536):
            target.sendall(spoil(data))
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def accept():
    while True:
        client, _ = listening.accept()
        time.sleep(max(0, silent_until - time.monotonic()))
        until = time.monotonic() + 30
        while True:
            try:
                server = socket.create_connection(("127.0.0.1", behind))
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.05)
        hear = lambda data: {asked}
        spoil = lambda data: {answered}
        threading.Thread(target=carry, args=(client, server, hear), daemon=True).start()
        threading.Thread(target=carry, args=(server, client, spoil), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
code = one.wait(300)
sys.exit(code if code >= 0 else 128 - code)
"""
FLAGS = """
if WORDS == ["-V"]:
    print("1.0")
    sys.exit(0)
os.execv(ENGINE, [ENGINE, *WORDS])
"""


# Does something beside the engine, in its folder, when it starts.
BEFORE = """
{what}
os.execv(ENGINE, [ENGINE, *WORDS])
"""
# Dies of a word in its log.
WATCH = """
one = subprocess.Popen([ENGINE, *WORDS])
signal.signal(signal.SIGTERM, lambda *_: one.terminate())
log = pathlib.Path("log", "serving.INFO")
while one.poll() is None:
    if log.exists() and {word!r} in log.read_text():
        one.kill()
        sys.exit(134)
    time.sleep(0.02)
"""
# Ends with another exit code than the engine.
AFTER = """
one = subprocess.Popen([ENGINE, *WORDS])
signal.signal(signal.SIGTERM, lambda *_: one.terminate())
signal.signal(signal.SIGINT, lambda *_: {interrupted})
code = one.wait()
sys.exit({ended})
"""


def script(binary: Path, folder: Path, code: str, **spoilt: object) -> Path:
    """Writes one of the scripts; gives its path, for a serving binary's."""
    path = folder / "serving"
    answered = "data.replace({old!r}, {new!r})".format(**spoilt) if "old" in spoilt else "data"
    given = {"late_s": 0, "asked": "data", "answered": answered, **spoilt}
    text = (START + textwrap.dedent(code)).format(
        python=sys.executable, engine=str(binary), **given
    )
    path.write_text(text)
    path.chmod(0o755)
    return path


def conformance(
    binary: Path, only: str, env: Optional[Mapping[str, str]] = None
) -> tuple[int, str]:
    """Runs the program; gives the exit code and what it printed."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "harness",
            "conformance",
            "serving",
            "--facts",
            "--serving-bin",
            str(binary),
            "--only",
            only,
            "--run",
            str(binary.parent / "run"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, **(env or {})},
    )
    return done.returncode, done.stdout + done.stderr
