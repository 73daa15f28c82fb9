"""The folder of a run by hand, its lock, and the socket over which commands ask the supervisor.

A request is one JSON line, and so is its reply. A reply with ``error`` is a sentence for the user,
and ``exit`` is the exit code.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.support.errors import BadInput, Failed
from harness.support.process import marked
from harness.support.waits import wait_for

Reply = dict[str, Any]
# A guard ends its processes within this time after the supervisor is gone.
_GUARDS_S = 30.0
_LOCK, _MARK, _SOCKET = "lock", "mark", "socket"


class NothingUp(BadInput):
    """No supervisor answers."""


class Place:
    """The folder ``by-hand`` among the run folders."""

    def __init__(self, runs: Path) -> None:
        self.folder = runs.absolute() / "by-hand"
        self.log = self.folder / "supervisor.log"
        self.history = self.folder / "history.jsonl"

    def make_ready(self) -> None:
        """Make the folder, with an empty log and no history, for a new supervisor.

        Raises:
            BadInput: A supervisor answers.
        """
        try:
            self.ask("status")
        except NothingUp:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log.write_text("")
            # The next reader must not take an earlier run's history for this one.
            self.history.unlink(missing_ok=True)
        else:
            raise BadInput(self._in_use)

    @property
    def _in_use(self) -> str:
        return (
            f"the parts of a run by hand are up in {self.folder} already; end them with "
            "`.venv/bin/python -m harness down`, or name another folder with --runs"
        )

    @contextlib.contextmanager
    def taken(self, mark: str) -> Iterator[None]:
        """Hold the folder until the context ends. An earlier run's files are removed first.

        Args:
            mark: The mark of all processes of the run.

        Raises:
            BadInput: Another supervisor holds the folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(self._in_use) from None
            self.end_what_is_left()
            for path in self.folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != _LOCK and path != self.log:
                    path.unlink()
            (self.folder / _MARK).write_text(mark)
            try:
                yield
            finally:
                if not marked(mark):
                    (self.folder / _MARK).unlink(missing_ok=True)

    @property
    def crashed(self) -> bool:
        """Return whether a supervisor was killed. Only right if no supervisor answers."""
        return (self.folder / _MARK).exists()

    def end_what_is_left(self) -> bool:
        """End the processes of a supervisor that was killed.

        Returns:
            Whether a supervisor was killed since the last ``taken``.

        Raises:
            Failed: A process does not end.
        """
        try:
            mark = (self.folder / _MARK).read_text()
        except FileNotFoundError:
            return False
        with contextlib.suppress(Failed):
            wait_for(lambda: not marked(mark), "the guards to end all parts", _GUARDS_S)
        for pid in marked(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not marked(mark), "SIGKILL to end all parts", 10)
        (self.folder / _MARK).unlink(missing_ok=True)
        return True

    def listening(self) -> socket.socket:
        """Return the listening socket of the supervisor."""
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with self._address() as address:
            one.bind(address)
            # Only this user may break parts. Until ``listen`` no other user can connect.
            os.chmod(address, 0o600)
        one.listen()
        return one

    def ask(self, do: str, **fields: object) -> Reply:
        """Ask the supervisor to do something, and return its reply.

        Raises:
            NothingUp: No supervisor answers.
            HarnessError: The supervisor says why it does not do this.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            try:
                with self._address() as address:
                    one.connect(address)
                one.sendall(json.dumps({"do": do, **fields}).encode() + b"\n")
                with one.makefile("rb") as file:
                    line = file.readline()
            except (FileNotFoundError, ConnectionError):
                line = b""
        if not line:
            raise NothingUp(
                f"nothing is up in {self.folder}; start the parts with "
                "`.venv/bin/python -m harness up`"
            )
        reply: Reply = json.loads(line)
        if "error" in reply:
            kind = BadInput if reply["exit"] == BadInput.exit_code else Failed
            raise kind(reply["error"])
        return reply

    @contextlib.contextmanager
    def _address(self) -> Iterator[str]:
        # The path of a socket has at most 107 bytes (unix(7)), and the folder may be deep.
        folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{_SOCKET}"
        finally:
            os.close(folder)
