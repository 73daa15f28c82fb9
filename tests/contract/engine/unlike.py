"""Servers that differ on purpose: the engine behind a script that spoils some things.

The engine itself has no option to lie.
"""

from __future__ import annotations

import sys
from pathlib import Path

START = """\
#!{python}
import os, pathlib, re, signal, socket, subprocess, sys, threading, time
from harness.support.ports import free_port
ENGINE = {engine!r}
WORDS = sys.argv[1:]

def spoilt(data):
    for old, new in {replaced!r}:
        data = data.replace(old, new)
    return data
"""
# While the engine writes its log, copies the log, with changes, to where the checks look for it.
# Ends when ``ends`` gives an exit code for what the log says.
LOG = """
real = pathlib.Path("really")
real.mkdir(exist_ok=True)
pathlib.Path("log").mkdir(exist_ok=True)
one = subprocess.Popen([ENGINE, *WORDS, "-log_dir", "really"])
signal.signal(signal.SIGTERM, lambda *_: one.terminate())
signal.signal(signal.SIGINT, lambda *_: one.send_signal(signal.SIGINT))
until = time.monotonic() + 300
while one.poll() is None and time.monotonic() < until:
    # Read INFO first and write it last: a line that a check finds in INFO is in the others, too.
    files = [real / f"serving.{{severity}}" for severity in ("INFO", "WARNING", "ERROR")]
    texts = {{file: file.read_text() for file in files if file.exists()}}
    info = texts.get(files[0], "")
    code = {ends}
    if code:
        one.kill()
        sys.exit(code)
    for file, text in reversed(texts.items()):
        beside = pathlib.Path("log", file.name + ".new")
        beside.write_text(spoilt(text))
        beside.rename(pathlib.Path("log", file.name))
    time.sleep(0.02)
one.kill()
"""
# A proxy before the engine. It changes requests and answers, or ends. Started again in the same
# folder, it answers no request for some seconds.
ANSWERS = """
file = pathlib.Path("really.prototxt")
workdir = WORDS[WORDS.index("-inferservice_path") + 1]
silent_until = time.monotonic() + ({late_s} if file.exists() else 0)
given = pathlib.Path(workdir, "infer_service.prototxt").read_text()
port = int(re.search(r"port: (\\d+)", given)[1])
behind = free_port()
file.write_text(given.replace(str(port), str(behind)))
words = [*WORDS, "-inferservice_path", ".", "-inferservice_file", file.name]
one = subprocess.Popen([ENGINE, *words])
signal.signal(signal.SIGTERM, lambda *_: one.terminate())
signal.signal(signal.SIGINT, lambda *_: one.send_signal(signal.SIGINT))
listening = socket.create_server(("127.0.0.1", port))

def die(code):
    one.kill()
    os._exit(code)

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
        spoil = lambda data: spoilt({answered})
        threading.Thread(target=carry, args=(client, server, hear), daemon=True).start()
        threading.Thread(target=carry, args=(server, client, spoil), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
code = one.wait(300)
sys.exit(code if code >= 0 else 128 - code)
"""
# Does something in the engine's folder before it starts; does not wait after SIGINT, and ends with
# 0.
AROUND = """
{what}
one = subprocess.Popen([ENGINE, *WORDS])
signal.signal(signal.SIGTERM, lambda *_: one.terminate())
signal.signal(signal.SIGINT, lambda *_: one.kill())
one.wait()
sys.exit(0)
"""


def script(binary: Path, folder: Path, code: str, **spoilt: object) -> Path:
    """Write one of the scripts; return its path, which serves as that of a serving binary."""
    path = folder / "serving"
    given = {
        "late_s": 0,
        "asked": "data",
        "answered": "data",
        "ends": "0",
        "replaced": (),
        **spoilt,
    }
    path.write_text((START + code).format(python=sys.executable, engine=str(binary), **given))
    path.chmod(0o755)
    return path
