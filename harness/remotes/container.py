"""What all remotes in containers have in common: everything but how they are reached.

They are reached like the local ones, on 127.0.0.1, and broken by the same methods. Data lie in
``folder``, so a ``stop`` that removes the containers keeps what was published.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Optional

from harness.containers import images
from harness.containers.images import Image
from harness.containers.stack import Stack

from .base import Remote, Say


class ContainerRemote(Remote):
    """A remote whose services run in containers of one image.

    Making one builds the image when it is not there or not up to date, and tells ``say`` so.
    Raises ``BadInput`` if the engine or the base image is missing.
    """

    image: ClassVar[Image]

    def __init__(self, folder: Path, *, path: str = "/", say: Say = print) -> None:
        super().__init__(folder.absolute(), path=path)
        # Build first: a build takes minutes, and another program could take a port chosen before.
        image = {f"{self.image.name.upper()}_IMAGE": images.ensure(self.image, say)}
        variables = {**image, **self._variables()}
        self._stack = Stack(folder, self.services, variables, data=self.services)

    @abstractmethod
    def _variables(self) -> dict[str, str]:
        """Draw the ports; return what fills the compose file's ``${…}``, without the image."""

    def start(self, service: Optional[str] = None) -> None:
        if service is not None:
            self._stack.start(service)
        elif self._stack.is_up:
            # After a kill of everything: the same containers, not new ones.
            for name in self.services:
                if self._stack.identity(name) is None:
                    self._stack.start(name)
        else:
            self._stack.up()

    def ready(self, deadline_s: float = 60.0) -> None:
        def works() -> bool:
            self.probe()
            return True

        what = f"{self.name} in containers to take, give back and remove a file"
        self._stack.wait_ready(works, what, deadline_s)

    def stop(self, service: Optional[str] = None) -> None:
        if service is None:
            self._stack.down()
        else:
            self._stack.stop(service)

    def kill(self, service: Optional[str] = None) -> None:
        self._stack.kill(service)

    def pause(self, service: Optional[str] = None) -> None:
        self._stack.pause(service)

    def resume(self, service: Optional[str] = None) -> None:
        self._stack.resume(service)

    def disconnect(self, service: Optional[str] = None) -> None:
        self._stack.disconnect(service)

    def check(self) -> None:
        if self._stack.is_up:
            self._stack.check()

    @property
    def logs(self) -> list[Path]:
        return self._stack.logs

    @property
    def project(self) -> str:
        """The Compose project's name."""
        return self._stack.project

    @property
    def stack(self) -> Stack:
        """The Compose project."""
        return self._stack
