"""The monitor's image, and a monitor in a container instead of a process of this machine.

The container has the user, the network and the folders of the harness. So the monitor reaches each
remote at the same address, and its files are where a local monitor has them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional

from harness.support import guard
from harness.support.errors import BadInput, Failed
from harness.support.process import MARK, has_mark
from harness.support.startable import Startable
from harness.support.waits import tail

from . import bases, engine, images, readiness
from .images import APT, Image
from .packages import Selection
from .stack import Stack

PACKAGES = Selection("monitor", "monitor.txt", "3.11")
IMAGE = Image(
    "monitor",
    "bookworm",
    sources=(APT, ("monitor", "monitor")),
    stage=PACKAGES.stage,
    recipe=PACKAGES.recipe,
)
_SERVICE = "monitor"
# The harness reads the log from a file, as with a local monitor. Compose reads $$ as $.
_START = 'exec python3 -m monitor "$$@" >>"$$0" 2>&1'


def prepare(say: Callable[[str], None]) -> str:
    """Build the monitor's image if it is not up to date. Return the image's name.

    Raises:
        BadInput: No container engine can run the image.
    """
    readiness.prepare((IMAGE.suite,), say, bases.installing_allowed())
    if engine.rootless():
        raise BadInput(
            "a monitor in a container uses this machine's network, which a rootless engine does "
            "not have; leave out --monitor-on"
        )
    return images.ensure(IMAGE, say)


class ContainerMonitor(Startable):
    """Our monitor in a container.

    Args:
        name: The name of the monitor in messages.
        options: The options of the monitor.
        image: The image's name.
        log: Receives standard output and error.
        cwd: The working directory; exists before the start.
        folders: The folders of this machine that the monitor sees, under the same paths.
        place: Takes the files of the Compose project.
        mark: A text in the environment of the monitor.
    """

    def __init__(
        self,
        name: str,
        options: Sequence[str],
        *,
        image: str,
        log: Path,
        cwd: Path,
        folders: Sequence[Path],
        place: Path,
        mark: str,
    ) -> None:
        self.name = name
        self.log = log.absolute()
        self._mark = mark
        self._pid: Optional[int] = None
        self._file = place.absolute() / "compose.json"
        self._service = {
            "image": image,
            "user": f"{os.getuid()}:{os.getgid()}",
            "network_mode": "host",
            "read_only": True,
            "tmpfs": ["/tmp:mode=1777"],
            # Root needs these to write into a folder of the server's user. Other users get none.
            "cap_drop": ["ALL"],
            "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
            "security_opt": ["no-new-privileges:true"],
            "environment": {MARK: mark, "no_proxy": "127.0.0.1,localhost"},
            "working_dir": str(cwd.absolute()),
            "volumes": [f"{path}:{path}" for path in dict.fromkeys(map(Path.absolute, folders))],
            "entrypoint": ["/bin/sh", "-c", _START, str(self.log)],
            "command": [word.replace("$", "$$") for word in options],
            "healthcheck": {"disable": True},
        }
        self._stack = Stack(place, (_SERVICE,), {}, files=[self._file])

    def start(self) -> None:
        """Start the container, or start it again after a kill."""
        if self._stack.is_up:
            self._stack.start(_SERVICE)
        else:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # A password may be among the options.
            self._file.touch(mode=0o600)
            self._file.write_text(json.dumps({"services": {_SERVICE: self._service}}, indent=1))
            self._stack.up()
        identity = self._stack.identity(_SERVICE)
        self._pid = int(identity.partition("@")[0]) if identity else None

    def wait(self, deadline_s: float) -> int:
        """Wait until the monitor has ended by itself, and return its exit code.

        Raises:
            Failed: It still runs after ``deadline_s`` seconds.
        """
        (container,) = engine.containers(self._stack.project)
        return int(engine.docker("wait", container, deadline_s=deadline_s))

    def stop(self) -> None:
        self._stack.down()

    def kill(self) -> None:
        """Kill the container with SIGKILL."""
        self._stack.kill()

    def pause(self) -> None:
        """Freeze the container."""
        self._stack.pause()

    def resume(self) -> None:
        """End a pause."""
        self._stack.resume()

    def check(self) -> None:
        """Raise ``Failed`` with the end of the log if the monitor has ended by itself."""
        try:
            self._stack.check()
        except Failed as error:
            why = str(error).splitlines()[0]
            raise Failed(
                f"{self.name}: {why}\n--- last lines of {self.log}\n{tail(self.log)}"
            ) from None

    @property
    def pids(self) -> list[int]:
        """The process ids of the monitor; none if this machine does not see them."""
        if self._pid is None or not has_mark(self._pid, self._mark):
            return []
        return [self._pid, *guard.descendants(self._pid)]

    @property
    def project(self) -> str:
        """The name of the Compose project."""
        return self._stack.project
