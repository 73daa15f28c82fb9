"""A server in a container: our image, or the vendor's, behind the same class as a local one.

The server's folder is shared with the host. Live directory, ``log/`` and ``workdir_9292`` lie where
a local server has them. A monitor on the host exchanges the live directory as a whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from harness.containers import engine, images
from harness.containers.images import Image
from harness.containers.packages import Selection
from harness.containers.stack import SERVICE_UID, Stack
from harness.support.errors import BadInput, Failed
from harness.support.paths import repository_root
from harness.support.ports import is_listening
from harness.support.waits import tail

from .base import Serving
from .binary import ServingBinary

#: The Python packages of the image.
PACKAGES = Selection("serving-packages", "whole.txt", "3.9")
PACKAGES_IMAGE = Image("serving-packages", "bullseye", stage=PACKAGES.stage, recipe=PACKAGES.recipe)
# The launcher and the engine, and the producer for docker/example. The rest of the harness is left
# out, so that its changes make no new image.
_SOURCES = (
    "harness/__init__.py",
    "engine",
    "harness/serving/__init__.py",
    "harness/serving/launcher.py",
    "producer",
)
IMAGE = Image(
    "serving", "bullseye", on=PACKAGES_IMAGE, sources=tuple((name, name) for name in _SOURCES)
)
CHOICES = ("docker", "official-docker")
#: The vendor's images by device; OFFICIAL_IMAGE and OFFICIAL_GPU_IMAGE name others.
OFFICIAL = {
    "cpu": "registry.baidubce.com/paddlepaddle/serving:0.9.0-runtime",
    "gpu": "registry.baidubce.com/paddlepaddle/serving:0.9.0-cuda11.2-cudnn8-runtime",
}
_PULL_DEADLINE_S = 1800.0
#: What is mounted into the vendor's image, by the variable that names it to Compose.
MOUNTED = {
    "LAUNCHER": "harness/serving/launcher.py",
    "OFFICIAL_ENTRYPOINT": "docker/official/entrypoint.sh",
    "OFFICIAL_HEALTHCHECK": "docker/serving/healthcheck.py",
}


@dataclass(frozen=True)
class ServingImage(ServingBinary):
    """An image in place of a binary: ``path`` is its name. ``service`` is Compose's word for it."""

    service: str = "serving"


def serving_binary(
    serving: str, device: str = "cpu", say: Callable[[str], None] = print
) -> ServingImage:
    """The image for ``SERVING=docker`` or ``official-docker``, built or pulled when need be.

    Raises ``BadInput`` when it cannot be had.
    """
    if serving not in CHOICES:
        raise BadInput(f"SERVING={serving} is not a container; use one of {', '.join(CHOICES)}")
    engine.require()
    if serving == "official-docker":
        return _official(device, say)
    if device != "cpu":
        raise BadInput(
            "SERVING=docker serves on the CPU only; use SERVING=official-docker with DEVICE=gpu, "
            "or a local server"
        )
    name = images.ensure(IMAGE, say)
    version = f"embedded engine, Paddle Inference {_pin('paddlepaddle')}"
    return ServingImage("docker", Path(name), version, "asked for", "serving")


def _pin(package: str) -> str:
    for line in PACKAGES.requirements().splitlines():
        if line.startswith(f"{package}=="):
            return line.partition("==")[2].split()[0]
    raise Failed(f"the lock of the serving image does not pin {package}")


def official_image(device: str) -> str:
    """The vendor's image for ``cpu`` or ``gpu``."""
    variable = "OFFICIAL_GPU_IMAGE" if device == "gpu" else "OFFICIAL_IMAGE"
    return os.environ.get(variable) or OFFICIAL[device]


def _official(device: str, say: Callable[[str], None]) -> ServingImage:
    name = official_image(device)
    why = "found in the engine"
    if engine.image_id(name) is None:
        say(f"pulling {name}")
        try:
            engine.docker("pull", "--quiet", name, deadline_s=_PULL_DEADLINE_S)
        except Failed as error:
            reason = str(error).splitlines()[-1].rpartition("daemon: ")[2]
            raise BadInput(
                f"the official image {name} is not here and cannot be pulled ({reason}); use "
                "SERVING=docker for the embedded engine in a container, or load the image with "
                "`docker load`"
            ) from None
        why = "pulled"
    service = "official-gpu" if device == "gpu" else "official"
    return ServingImage("official-docker", Path(name), f"0.9.0, {device}", why, service)


class ContainerServing(Serving):
    """The launcher in a container over ``folder``, where the live directory and ``log/`` lie.

    ``model`` is the live directory's name in ``folder``; ``reload_interval_s`` is the tick, in
    whole seconds; ``port`` is published on 127.0.0.1.
    """

    def __init__(
        self,
        folder: Path,
        *,
        binary: ServingBinary,
        port: int,
        model: str = "uci_housing_model",
        threads: int = 10,
        reload_interval_s: int = 1,
        gpu_ids: str = "0",
    ) -> None:
        self.folder = folder.absolute()
        self.model = model
        self.live_dir = self.folder / model
        self.log_file = self.folder / "log" / "serving.INFO"
        self.port = port
        self.binary = binary
        service = binary.service if isinstance(binary, ServingImage) else "serving"
        self._service = service
        root = repository_root()
        variables = {
            "SERVING_FOLDER": str(self.folder),
            "SERVING_MODEL": model,
            "SERVING_THREADS": str(threads),
            "RELOAD_INTERVAL_S": str(reload_interval_s),
            "SERVING_PORT": str(port),
            "GPU_IDS": gpu_ids,
            **{key: str(root / path) for key, path in MOUNTED.items()},
        }
        image = {
            "serving": "SERVING_IMAGE",
            "official": "OFFICIAL_IMAGE",
            "official-gpu": "OFFICIAL_GPU_IMAGE",
        }[service]
        variables[image] = str(binary.path)
        self._stack = Stack(
            self.folder / "container",
            (service,),
            variables,
            profile=None if service == "serving" else service,
            # The launcher, its shell and the engine end one after the other.
            stop_grace_s=15,
        )

    def start(self) -> None:
        if self._stack.is_up:
            # After a kill: the same container again, as a restarted server.
            self._stack.start(self._service)
            return
        if not self.live_dir.is_dir():
            raise BadInput(
                f"{self.live_dir} is not there: the server needs a first model; "
                "install one with `python -m monitor --once`"
            )
        if is_listening(self.port):
            raise BadInput(f"port {self.port} on 127.0.0.1 is in use; name another with --port")
        self._give_to_the_service()
        self._copy_what_is_mounted()
        self._stack.up()

    def _give_to_the_service(self) -> None:
        """Give the server's folders to the container's user, if root runs the harness.

        The launcher writes beside the live directory, and touches its time file at the start. The
        monitor keeps the owner from swap to swap.
        """
        if os.getuid() != 0:
            return
        os.chown(self.folder, SERVICE_UID, SERVICE_UID)
        for path in (self.live_dir, *self.live_dir.rglob("*")):
            os.chown(path, SERVICE_UID, SERVICE_UID, follow_symlinks=False)

    def _copy_what_is_mounted(self) -> None:
        """Copy the mounted files into the run's folder, readable for all users.

        In a checkout made with umask 077 the container's user could not read them.
        """
        if self._service == "serving":
            return
        target = self._stack.folder / "mounted"
        target.mkdir(parents=True, exist_ok=True)
        for key, path in MOUNTED.items():
            copied = target / Path(path).name
            shutil.copyfile(repository_root() / path, copied)
            copied.chmod(0o644)
            self._stack.set(key, str(copied))

    def ready(self, deadline_s: float = 90.0) -> None:
        what = f"the server in a container on port {self.port} to answer /health"
        self._stack.wait_ready(self.healthy, what, deadline_s)

    def stop(self) -> None:
        self._stack.down()

    def kill(self) -> None:
        self._stack.kill()

    def pause(self) -> None:
        self._stack.pause()

    def resume(self) -> None:
        self._stack.resume()

    def disconnect(self) -> None:
        self._stack.disconnect()

    def check(self) -> None:
        """Raises ``Failed`` with the end of the launcher's output when the server is gone."""
        self._stack.check()
        if self.identity() is None:
            raise Failed(
                f"nothing of the server on port {self.port} runs any more"
                + "".join(f"\n--- last lines of {log}\n{tail(log)}" for log in self.logs[:1])
            )

    def identity(self) -> Optional[str]:
        return self._stack.identity(self._service)

    @property
    def stack(self) -> Stack:
        """The Compose project."""
        return self._stack

    @property
    def logs(self) -> list[Path]:
        return [*self._stack.logs, self.log_file]
