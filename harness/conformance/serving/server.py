"""Starts any serving binary through the real launcher, for the checks, the bench and the tests.

One ``Launched`` is one server on a copy of a model, with its own folder, port and log. The models
come from ``models.py``, made once and kept in the project's cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from harness.checker.leg_history import RELOAD_BEGIN
from harness.support import guard, waits
from harness.support.errors import BadInput, Failed
from harness.support.live_directory import TIME_FILE
from harness.support.paths import cache_dir
from harness.support.ports import free_port, is_listening
from harness.support.process import Process

MODEL_NAME = "uci_housing_model"
MODELS = Path(__file__).with_name("models.py")
LARGE_MODEL = Path(__file__).with_name("large_model.py")
SERVING = "C++ Serving service started successfully!"
_BEGIN, _DONE = RELOAD_BEGIN.encode(), b"Succ load engine, path:"


class Span(NamedTuple):
    """From when to when, in seconds since the epoch."""

    begin: float
    end: float


def binary(given: Optional[str] = None) -> Path:
    """Return the binary to use: ``given``, SERVING_BIN, or the embedded engine.

    Raises ``BadInput`` if it is not there.
    """
    name = given or os.environ.get("SERVING_BIN") or str(Path(sys.prefix, "bin/embedded-serving"))
    path = Path(name).absolute()
    if not os.access(path, os.X_OK):
        raise BadInput(f"{path} is no executable; give --serving-bin the path of a serving binary")
    return path


def models(script: Path = MODELS) -> Path:
    """Return the folder with the models that a script makes; the script runs once (seconds)."""
    digest = hashlib.sha256(script.read_bytes()).hexdigest()[:16]
    folder = cache_dir("conformance") / "models" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / "lock"):
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as making:
            done = subprocess.run(
                [sys.executable, str(script), f"{making}/models"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise Failed(f"{script.name} failed: {done.stderr.strip()[-800:]}")
            Path(making, "models").rename(folder)
    return folder


def written_at(line: bytes) -> float:
    """Return when a line of glog's was written, in seconds since the epoch.

    The line names no year and no zone, so it counts as local time within the last year.
    """
    stamp = line[1:21].decode("ascii")
    now = time.time()
    for year in (time.localtime(now).tm_year, time.localtime(now).tm_year - 1):
        seconds = time.mktime(time.strptime(f"{year}{stamp[:13]}", "%Y%m%d %H:%M:%S"))
        # A day ahead, for clocks that disagree.
        if seconds < now + 86400:
            break
    return seconds + float(stamp[13:])


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def started_by_shell(launcher: int) -> int:
    """Return the process of the command that ``launcher`` runs through ``sh -c``.

    Some shells fork for the command, others (bash) become the command. Raises ``Failed`` while
    there is no such process.
    """
    for pid in guard.descendants(launcher):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:2] != [b"-c"]:
                return pid
    raise Failed(f"process {launcher} has started no command")


class Server:
    """A server in ``folder``: its process, its live directory and its log files."""

    folder: Path
    port: int
    process: Process

    @property
    def live(self) -> Path:
        """The live directory."""
        return self.folder / MODEL_NAME

    def start(self, deadline_s: float = 60.0) -> None:
        """Starts it and waits until it says in its log that it serves."""
        self.process.start()
        waits.wait_for(
            lambda: SERVING in self.log() and is_listening(self.port),
            "the server to say that it serves",
            deadline_s,
            alive=self.process.check,
            log=self.process.log,
        )

    def stop(self) -> None:
        """Ends it and everything it started. Safe to repeat."""
        self.process.stop()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log_file(self, severity: str = "INFO") -> Path:
        return self.folder / "log" / f"serving.{severity}"

    def log(self, severity: str = "INFO") -> str:
        """The whole text of a log file, empty while it is not there."""
        try:
            return self.log_file(severity).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_for_log(self, text: str, start: int = 0, deadline_s: float = 15.0) -> str:
        """Waits until the INFO log has ``text`` behind ``start``; gives the log from there."""
        waits.wait_for(
            lambda: text in self.log()[start:],
            f"{text!r} in the log",
            deadline_s,
            log=self.log_file(),
        )
        return self.log()[start:]


class Launched(Server):
    """A server under the real launcher.

    ``model`` is copied to ``uci_housing_model`` in ``folder`` (a temporary one when not given),
    which is the server's working directory. ``options`` go to the launcher as they are.
    """

    def __init__(
        self,
        serving_bin: Path,
        model: Path,
        *,
        folder: Optional[Path] = None,
        tick_s: int = 1,
        threads: int = 4,
        options: Sequence[str] = (),
        env: Optional[Mapping[str, str]] = None,
        port: Optional[int] = None,
    ) -> None:
        self._temporary: Optional[tempfile.TemporaryDirectory[str]] = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(dir=cache_dir("conformance"))
            folder = Path(self._temporary.name)
        self.folder = folder
        self.threads = threads
        self.port = port or free_port()
        # The log file's inode, how many of its bytes were read, and the reloads found in them.
        self._log_file = self._read = 0
        self._begun: Optional[float] = None
        self._reloads: list[Span] = []
        shutil.copytree(model, self.live, dirs_exist_ok=True)
        self.process = Process(
            "serving",
            [
                sys.executable,
                "-m",
                "harness.serving.launcher",
                "--model",
                MODEL_NAME,
                "--thread",
                str(threads),
                "--port",
                str(self.port),
                "--reload_interval_s",
                str(tick_s),
                *options,
            ],
            log=folder / "launcher.log",
            cwd=folder,
            env={
                **os.environ,
                # The launcher writes ProcessInfo.json where it is told, else into the home.
                "SERVING_HOME": str(folder),
                "SERVING_BIN": str(serving_bin),
                **(env or {}),
            },
        )

    def stop(self) -> None:
        super().stop()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Launched:
        self.start()
        return self

    @property
    def pid(self) -> int:
        """The serving binary's own process."""
        # Beside the launcher there are processes that outlived their parent.
        return started_by_shell(self.process.pids[0])

    def reloads(self) -> int:
        """How many reloads the log of the server that runs shows as done."""
        return len(self.reload_spans())

    def reload_spans(self) -> list[Span]:
        """The time of each reload, from ``begin reload`` to ``Succ load engine`` in the log."""
        # Under load the log grows by a gigabyte in minutes, so each byte is read once.
        with contextlib.suppress(FileNotFoundError), self.log_file().open("rb") as log:
            found = os.fstat(log.fileno())
            if found.st_ino != self._log_file or found.st_size < self._read:
                self._log_file, self._read, self._begun, self._reloads = found.st_ino, 0, None, []
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                if _BEGIN in line:
                    self._begun = written_at(line)
                elif _DONE in line:
                    end = written_at(line)
                    self._reloads.append(Span(end if self._begun is None else self._begun, end))
                    self._begun = None
        return list(self._reloads)

    def touch(self) -> int:
        """Move the time file to a second that it has not had; return the second."""
        tag = self.live / TIME_FILE
        second = max(int(time.time()), int(tag.stat().st_mtime) + 1)
        os.utime(tag, (second, second))
        return second

    def install(
        self, model: Path, *, place: Callable[[Path, Path], object] = shutil.copyfile
    ) -> None:
        """Replace the live files by a model's files, each by rename, and move the time file.

        ``place`` makes each new file, beside the live file, from the model's file.
        """
        for source in model.iterdir():
            if source.name == TIME_FILE:
                continue
            beside = self.live / f".{source.name}.new"
            place(source, beside)
            beside.rename(self.live / source.name)
        self.touch()

    def reload(self, model: Optional[Path] = None, deadline_s: float = 15.0) -> None:
        """Installs a model (or only moves the time file) and waits for the reload."""
        before = self.reloads()
        if model is None:
            self.touch()
        else:
            self.install(model)
        waits.wait_for(
            lambda: self.reloads() > before, "a reload in the log", deadline_s, log=self.log_file()
        )
