"""The place where remotes and server run: as processes of this machine, or in containers.

The remotes and the server of a run have a backend each, because ``ON=docker`` and
``SERVING=docker`` are independent. Producer and clients are always local processes; the monitor
may have a container (``harness.containers.monitor``).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Optional

from harness.containers import bases, engine, readiness
from harness.remotes.base import Remote
from harness.remotes.container import ContainerRemote
from harness.remotes.registry import RemoteType
from harness.serving import container
from harness.serving.base import Serving
from harness.serving.binary import ServingBinary
from harness.serving.choice import choose
from harness.serving.container import ContainerServing
from harness.serving.local import LocalServing
from harness.support.errors import BadInput

Say = Callable[[str], None]


@dataclass(frozen=True)
class ServingSettings:
    """The settings of the server of one leg."""

    # What the launcher starts.
    binary: ServingBinary
    # The server's port.
    port: int
    # The live directory's name in the server's folder.
    model: str
    # The reload interval, in seconds.
    tick_s: int = 1
    # ``cpu`` or ``gpu``.
    device: str = "cpu"


class Backend(ABC):
    """A place where remotes and servers run."""

    # What ``ON=`` calls it.
    name: ClassVar[str]
    # The values of ``SERVING=`` that it serves.
    servings: ClassVar[tuple[str, ...]]

    @abstractmethod
    def prepare(
        self, remotes: Sequence[RemoteType], serving: Optional[str], device: str, say: Say
    ) -> None:
        """Look for what a run needs here, before its first leg.

        Args:
            remotes: The remotes that run here.
            serving: One of ``servings``; None if the server runs elsewhere.
            device: ``cpu`` or ``gpu``.
            say: Called with a line before each long step.

        Raises:
            BadInput: Something is missing.
        """

    @abstractmethod
    def binary(
        self, serving: str, device: str, trial: str, say: Say, given: Optional[Path] = None
    ) -> ServingBinary:
        """Return what serves for ``serving``, one of ``servings``; ``given`` overrides it.

        Raises:
            BadInput: It cannot be had, or failed its trial.
        """

    @abstractmethod
    def remote(self, remote: RemoteType, folder: Path, *, mark: str = "") -> Remote:
        """Return a remote over ``folder``, not started; ``mark`` is its leg's."""

    @abstractmethod
    def serving(self, folder: Path, settings: ServingSettings, *, mark: str = "") -> Serving:
        """Return a server over ``folder``, not started; ``mark`` is its leg's."""


class Local(Backend):
    """Processes of this machine."""

    name = "local"
    servings = ("auto", "embedded", "official")

    def prepare(
        self, remotes: Sequence[RemoteType], serving: Optional[str], device: str, say: Say
    ) -> None:
        for remote in remotes:
            remote.local.require()
            remote.local.fetch(say)

    def binary(
        self, serving: str, device: str, trial: str, say: Say, given: Optional[Path] = None
    ) -> ServingBinary:
        return choose(serving, device, say, trial, given=given)

    def remote(self, remote: RemoteType, folder: Path, *, mark: str = "") -> Remote:
        return remote.local(folder, mark=mark)

    def serving(self, folder: Path, settings: ServingSettings, *, mark: str = "") -> Serving:
        return LocalServing(
            folder,
            binary=settings.binary,
            port=settings.port,
            model=settings.model,
            reload_interval_s=settings.tick_s,
            gpu_ids="0" if settings.device == "gpu" else None,
            mark=mark,
        )


class Docker(Backend):
    """Containers. A leg cannot mark them; their Compose project finds leftover containers."""

    name = "docker"
    servings = container.CHOICES

    def prepare(
        self, remotes: Sequence[RemoteType], serving: Optional[str], device: str, say: Say
    ) -> None:
        images = [self._container(remote).image for remote in remotes]
        # The vendor's image is not built on a base of ours.
        images += [container.IMAGE] if serving == "docker" else []
        suites = sorted({image.suite for image in images})
        readiness.prepare(suites, say, bases.installing_allowed())
        if serving == "official-docker" and device == "gpu":
            engine.require_gpu()

    def binary(
        self, serving: str, device: str, trial: str, say: Say, given: Optional[Path] = None
    ) -> ServingBinary:
        if given is not None:
            raise BadInput(
                f"--serving-bin {given} is not for SERVING={serving}; use auto, embedded or "
                "official"
            )
        if os.environ.get("SERVING_BIN"):
            say(f"SERVING_BIN is not used: SERVING={serving} serves what its image holds")
        return container.serving_binary(serving, device)

    def remote(self, remote: RemoteType, folder: Path, *, mark: str = "") -> Remote:
        return self._container(remote)(folder)

    def serving(self, folder: Path, settings: ServingSettings, *, mark: str = "") -> Serving:
        return ContainerServing(
            folder,
            binary=settings.binary,
            port=settings.port,
            model=settings.model,
            reload_interval_s=settings.tick_s,
        )

    @staticmethod
    def _container(remote: RemoteType) -> type[ContainerRemote]:
        if remote.container is None:
            raise BadInput(f"the remote {remote.name} does not run in containers; use ON=local")
        return remote.container


BACKENDS: tuple[Backend, ...] = (Local(), Docker())
PLACES = tuple(backend.name for backend in BACKENDS)
SERVINGS = tuple(serving for backend in BACKENDS for serving in backend.servings)


def of_remotes(on: str) -> Backend:
    """Return the backend for a value of ``ON=``, one of ``PLACES``."""
    return next(backend for backend in BACKENDS if backend.name == on)


def of_serving(serving: str) -> Backend:
    """Return the backend for a value of ``SERVING=``, one of ``SERVINGS``."""
    return next(backend for backend in BACKENDS if serving in backend.servings)
