"""The likeness program against servers that are deliberately unlike: it has to see it.

Each is the engine behind a script that spoils one thing: a line of the log, a byte of an answer, a
flag. Nothing in the engine itself can be switched to lie.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bench.likeness.checks import Subject

pytestmark = pytest.mark.xdist_group("likeness itself")

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
# Sits before the engine and changes what it answers.
ANSWERS = """
file = pathlib.Path("really.prototxt")
workdir = WORDS[WORDS.index("-inferservice_path") + 1]
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
        until = time.monotonic() + 30
        while True:
            try:
                server = socket.create_connection(("127.0.0.1", behind))
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.05)
        spoil = lambda data: data.replace({old!r}, {new!r})
        threading.Thread(target=carry, args=(client, server, bytes), daemon=True).start()
        threading.Thread(target=carry, args=(server, client, spoil), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
one.wait(300)
"""
FLAGS = """
if WORDS == ["-V"]:
    print("1.0")
    sys.exit(0)
os.execv(ENGINE, [ENGINE, *WORDS])
"""


def script(subject: Subject, folder: Path, code: str, **spoilt: object) -> Path:
    path = folder / "serving"
    text = (START + textwrap.dedent(code)).format(
        python=sys.executable, engine=str(subject.binary), **spoilt
    )
    path.write_text(text)
    path.chmod(0o755)
    return path


def likeness(binary: Path, only: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.likeness", "--serving-bin", str(binary), "--only", only],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("code", "spoilt", "only"),
    [
        (LOG, ("cost=", "cst="), "a request logs its eight lines"),
        (LOG, ("Succ load model:", "Loaded model:"), "the lines at start, in order"),
        (LOG, ("Finish reload 1 workflow(s)", "Finish reload"), "a tick on which nothing changed"),
        (ANSWERS, (b'"elem_type":1,', b""), "the JSON answer: fields by number"),
        (ANSWERS, (b"[E1002]Fail", b"[E1002]fail"), "an unknown method: 404"),
        (ANSWERS, (b"Content-Length", b"content-length"), "an answer has Content-Length and"),
    ],
)
def test_a_server_that_differs_in_one_thing_is_caught(
    subject: Subject, tmp_path: Path, code: str, spoilt: tuple[object, object], only: str
) -> None:
    old, new = spoilt
    exit_code, said = likeness(script(subject, tmp_path, code, old=old, new=new), only)
    assert exit_code == 1, said
    assert "DIFFERS" in said, said
    assert "1 facts: 1 DIFFERS" in said, said


@pytest.mark.parametrize("code", [LOG, ANSWERS])
def test_the_same_scripts_pass_when_they_spoil_nothing(
    subject: Subject, tmp_path: Path, code: str
) -> None:
    nothing: object = "is not there" if code == LOG else b"is not there"
    binary = script(subject, tmp_path, code, old=nothing, new=nothing)
    only = "a request logs its eight lines" if code == LOG else "the JSON answer"
    assert likeness(binary, only)[0] == 0


def test_a_wrong_version_is_caught(subject: Subject, tmp_path: Path) -> None:
    exit_code, said = likeness(script(subject, tmp_path, FLAGS), "-V prints")
    assert exit_code == 1, said


def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    exit_code, said = likeness(tmp_path / "nothing", "-V prints")
    assert exit_code == 2
    assert f"{tmp_path / 'nothing'} is no executable; give --serving-bin" in said
    assert "Traceback" not in said


def test_no_such_fact_is_exit_code_2(subject: Subject) -> None:
    exit_code, said = likeness(subject.binary, "no such fact")
    assert exit_code == 2
    assert "--only no such fact fits no fact" in said
