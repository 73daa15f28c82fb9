"""The binary's command line, without a server."""

from __future__ import annotations

import socket
import subprocess

from harness.support.ports import free_port

from .checks import Subject, holds, same


def _run(subject: Subject, *words: str) -> tuple[int, str, str]:
    with subject.folder() as folder:
        done = subprocess.run(
            [str(subject.binary), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            timeout=60,
        )
    return done.returncode, done.stdout, done.stderr


def version_flag(subject: Subject) -> None:
    """-V prints `undefined` and ends with 0."""
    code, out, err = _run(subject, "-V")
    same(code, 0, "exit code")
    holds("undefined" in out + err, f"it printed {out!r} {err!r}")


def version_word(subject: Subject) -> None:
    """-version prints `serving` and ends with 0."""
    code, out, _ = _run(subject, "-version")
    same(code, 0, "exit code")
    same(out.strip(), "serving")


def unknown_flag(subject: Subject) -> None:
    """An unknown flag is named, exit code 1."""
    code, _, err = _run(subject, "-nosuchflag")
    same(code, 1, "exit code")
    holds("ERROR: unknown command line flag 'nosuchflag'" in err, f"it printed {err!r}")


def bad_value(subject: Subject) -> None:
    """A bad value is named with the flag and its type, exit code 1."""
    code, _, err = _run(subject, "-port", "abc")
    same(code, 1, "exit code")
    holds(
        "ERROR: illegal value 'abc' specified for int32 flag 'port'" in err, f"it printed {err!r}"
    )


def spellings(subject: Subject) -> None:
    """Flags may be written -n v, --n v, -n=v, -b and -nob."""
    words = "-port 1 --num_threads 2 -max_concurrency=3 -enable_model_toolkit -nouse_calib -V"
    same(_run(subject, *words.split())[0], 0, "exit code")


def no_flags(subject: Subject) -> None:
    """Without any flag it ends with 255."""
    same(_run(subject)[0], 255, "exit code")


def busy_port(subject: Subject) -> None:
    """The launcher refuses a port that is busy: `Port N is already used`."""
    port = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        with subject.folder() as folder:
            from .server import Launched

            launched = Launched(subject.binary, subject.models / "uci", folder=folder, port=port)
            launched.process.start()
            try:
                same(launched.process.wait(60), 1, "exit code")
            finally:
                launched.stop()
            text = (folder / "launcher.log").read_text()
    holds(f"Port {port} is already used" in text, text[-300:])
