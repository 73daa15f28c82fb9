"""HDFS or AFS through the ``hadoop`` command, without a shell.

Prefer WebHDFS. Of all remotes, only this one cannot replace a file in one step (``put`` says why).

``hadoop`` is often a user's own script. It may print lines before and after the command's output,
or end with another exit code. So content comes in a file, lines are recognised by their form, and
an upload counts if the remote file has the right length.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Optional
from xml.sax.saxutils import escape

from ..errors import RemoteError
from .address import Address
from .base import Publisher

_TIMEOUT_S = 180.0
# By default a client tries a refused connection again for more than a minute.
_QUICK_REFUSAL = "-Dipc.client.connect.max.retries=2"
# The format for -stat: no banner contains it, and it has no space at which a script splits it.
_STAT = "producer-upload:%b"
_LENGTH = re.compile(r"producer-upload:(\d+)")
_HINT = "is the NameNode up, is its port right, and may the user write?"
_COMPLAINT = re.compile(r"(?<!\S)(put|get|mkdir|stat|copyFromLocal): .*")


class HadoopCommand(Publisher):
    """``hdfs://host:port/path`` or ``afs://…``; ``hadoop_bin`` is the command's absolute path.

    ``ugi`` (upstream's ``fs_ugi``, "user,password") goes into a file that only this user can
    read, because arguments stand in every user's process list.
    """

    def __init__(
        self, address: Address, *, hadoop_bin: str, ugi: Optional[str], user: Optional[str]
    ) -> None:
        super().__init__(address)
        self._hadoop = hadoop_bin
        self._ugi = ugi
        self._user = user

    def prepare(self) -> None:
        self._fs("reach", str(self.address), "-mkdir", "-p", self.address.path)

    def read(self, name: str) -> Optional[bytes]:
        path = self.address.of(name)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder).resolve() / "file"
            done = self._run(self.where(name), "-get", path, str(target))
            if done.returncode == 0 and target.is_file():
                return target.read_bytes()
        if any(_is_absence(line, path) for line in _complaints(done)):
            return None
        raise RemoteError("read", self.where(name), _why(done), _HINT)

    def put(self, local: Path, name: str) -> None:
        # The shell has no rename that replaces. "-put -f" writes NAME._COPYING_, closes it, removes
        # NAME and renames, all in one process. NAME is absent for some milliseconds. A monitor
        # takes this for "not there yet". Separate -put, -rm and -mv would make it seconds.
        target = self.address.of(name)
        self._fs("upload", self.where(name), "-put", "-f", str(local.resolve()), target)
        done = self._run(self.where(name), "-stat", _STAT, target)
        arrived = _LENGTH.search(done.stdout.decode(errors="replace"))
        size = local.stat().st_size
        if arrived is None:
            raise RemoteError("upload", self.where(name), _why(done), _HINT)
        if int(arrived[1]) != size:
            raise RemoteError(
                "upload",
                self.where(name),
                f"{arrived[1]} of {size} bytes arrived, and no error",
                _HINT,
            )

    def _fs(self, operation: str, where: str, *words: str) -> None:
        done = self._run(where, *words)
        if done.returncode != 0 or _complaints(done):
            raise RemoteError(operation, where, _why(done), _HINT)

    def _run(self, where: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        environment = dict(os.environ)
        if self._user:
            environment["HADOOP_USER_NAME"] = self._user
        filesystem = f"-Dfs.default.name={self.address.scheme}://{self.address.authority}"
        with self._configuration() as configuration:
            argv = [self._hadoop, "fs", *configuration, filesystem, _QUICK_REFUSAL, *words]
            try:
                return subprocess.run(
                    argv,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_TIMEOUT_S,
                    env=environment,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise RemoteError(
                    f"run hadoop fs {words[0]} on", where, f"no end after {_TIMEOUT_S:g} s", _HINT
                ) from None
            except OSError as error:
                raise RemoteError(
                    f"run {self._hadoop} for", where, str(error.strerror), "check --hadoop_bin"
                ) from None

    @contextlib.contextmanager
    def _configuration(self) -> Iterator[list[str]]:
        if not self._ugi:
            yield []
            return
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:  # created with mode 0600
            file.write(
                "<configuration><property><name>hadoop.job.ugi</name>"
                f"<value>{escape(self._ugi)}</value></property></configuration>\n"
            )
            file.flush()
            yield ["-conf", file.name]


def _complaints(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """Return FsShell's error messages. Some scripts print errors to standard output."""
    lines = (done.stderr + b"\n" + done.stdout).decode(errors="replace").splitlines()
    found = map(_COMPLAINT.search, lines)
    return [match[0].strip() for match in found if match is not None]


def _is_absence(complaint: str, path: str) -> bool:
    """Return whether ``path`` is absent. A script without its Java prints the same words."""
    of_it = rf"\w+: (.*[\s`'\"])?([\w-]+://[^/\s]*)?{re.escape(path)}(?![\w/-]|\.\w)"
    return re.match(of_it, complaint) is not None and "No such file or directory" in complaint


def _why(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return FsShell's message from among log lines and stack traces."""
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
    # FsShell prints "-put: …" for options, "put: …" for files.
    telling = [line for line in lines if line.startswith("-")] + _complaints(done)
    if telling:
        return telling[0]
    lines = [line for line in lines if line]
    return lines[-1] if lines else f"no reason given, exit code {done.returncode}"
