"""Runs Docker's command line client, and reports what it says when it fails.

Callers make all decisions. Objects of ours are found by labels, never by names, because Compose
1.29 and 2 name containers differently.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Optional

from harness.support.errors import BadInput, Failed

#: Compose itself puts this label on everything it makes.
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
#: Every project of the harness starts with this, so that leftovers can be told from others' work.
PROJECT_PREFIX = "hotloading-"

READY_HINT = (
    "`make docker-ready` says what to install "
    "(as root on Debian, `make docker-ready ALLOW_INSTALL=1` does it)"
)


def client() -> str:
    """The ``docker`` program. Raises ``BadInput`` when there is none."""
    program = shutil.which("docker")
    if program is None:
        raise BadInput(f"there is no docker command on this machine; {READY_HINT}")
    return program


def docker(
    *arguments: str,
    deadline_s: float = 60.0,
    check: bool = True,
    environment: Optional[dict[str, str]] = None,
) -> str:
    """Runs ``docker ARGUMENTS`` and gives its standard output, stripped.

    Raises ``Failed`` with the engine's own words when it does not succeed (unless ``check`` is
    false) or takes longer than ``deadline_s`` seconds.
    """
    return command([client(), *arguments], deadline_s, check, environment)


def command(
    argv: Sequence[str],
    deadline_s: float,
    check: bool = True,
    environment: Optional[dict[str, str]] = None,
    *,
    both: bool = False,
    without: Collection[str] = (),
) -> str:
    """Runs one program to its end; like ``docker`` for any command.

    ``both`` gives standard output and error together. The program gets this process's environment
    without the variables in ``without``, and with those in ``environment``.
    """
    inherited = {key: value for key, value in os.environ.items() if key not in without}
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**inherited, **(environment or {})},
        # Only the harness handles Ctrl-C: it takes the containers down in order.
        start_new_session=True,
    )
    try:
        output, error = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise Failed(f"`{_shown(argv)}` did not end within {deadline_s:g} s") from None
    except BaseException:
        _end(process)
        raise
    if check and process.returncode:
        words = (error or output).decode(errors="replace").strip().splitlines()
        raise Failed(
            f"`{_shown(argv)}` ended with exit code {process.returncode}: "
            + "\n".join(words[-8:] or ["(it said nothing)"])
        )
    return (output + (error if both else b"")).decode(errors="replace").strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started.

    Compose is a plugin, a child of the docker command. Alive, it would continue to make containers,
    and no program would remove them.
    """
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            continue
        return


def _shown(argv: Sequence[str]) -> str:
    words = [argv[0].rpartition("/")[2], *argv[1:]]
    return " ".join(words if len(words) <= 12 else [*words[:11], "…"])


def elsewhere() -> Optional[str]:
    """Return the engine's address if docker uses an engine on another machine, else None.

    docker has the address from ``DOCKER_HOST``, ``DOCKER_CONTEXT`` or `docker context use`.
    """
    shape = "{{.Endpoints.docker.Host}}"
    # A client that knows no contexts prints nothing here.
    address = os.environ.get("DOCKER_HOST") or docker(
        "context", "inspect", "--format", shape, check=False
    )
    return None if not address or address.startswith("unix://") else address


def why_unusable() -> Optional[str]:
    """None when an engine answers, else one sentence that says why not.

    Raises ``BadInput`` for an engine that must not be used, whether it answers or not.
    """
    if shutil.which("docker") is None:
        return "there is no docker command on this machine"
    address = elsewhere()
    if address is not None:
        raise BadInput(
            f"the Docker engine at {address} is another machine, and the harness shares folders "
            "and loopback ports with its containers; unset DOCKER_HOST and DOCKER_CONTEXT, and "
            "type `docker context use default`"
        )
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "the Docker engine did not answer within 20 s"
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"]
        return f"the Docker engine does not answer ({words[-1]})"
    if "name=userns" in _security_options():
        raise BadInput(
            "the Docker engine remaps users (userns-remap), so services could not write to the "
            "run's folder; take userns-remap out of the engine's settings, or use ON=local"
        )
    return None


def require() -> None:
    """Raises ``BadInput`` with the remedy when no engine can be used."""
    reason = why_unusable()
    if reason is not None:
        raise BadInput(f"{reason}; {READY_HINT}")


@cache
def _security_options() -> str:
    # Once a process: the answer takes a tenth of a second, and is the same while the engine runs.
    return docker("info", "--format", "{{json .SecurityOptions}}")


def rootless() -> bool:
    """Return whether an ordinary user runs the engine; root in a container is then that user."""
    return "name=rootless" in _security_options()


def require_gpu() -> None:
    """Raises ``BadInput`` when the engine cannot give a container an NVIDIA GPU.

    Docker has its device driver ``nvidia`` if it finds the toolkit's hook in its PATH. A newer
    Docker also has it if CDI names such devices. The toolkit brings a runtime of that name, too.
    """
    known = json.loads(docker("info", "--format", "{{json .}}"))
    named = json.dumps([known.get("Runtimes"), known.get("DiscoveredDevices")])
    if "nvidia" not in named and shutil.which("nvidia-container-runtime-hook") is None:
        raise BadInput(
            "DEVICE=gpu in a container needs NVIDIA's container toolkit, and `docker info` names "
            "no nvidia runtime or device; install nvidia-container-toolkit and restart the engine, "
            "or use DEVICE=cpu"
        )


def image_id(name: str) -> Optional[str]:
    """The id of a local image, or None when there is none of that name."""
    return docker("image", "inspect", "--format", "{{.Id}}", name, check=False) or None


def containers(project: str, service: Optional[str] = None) -> list[str]:
    """Ids of a project's containers, running or not."""
    filters = ["--filter", f"label={PROJECT_LABEL}={project}"]
    if service is not None:
        filters += ["--filter", f"label={SERVICE_LABEL}={service}"]
    return docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()


def states(project: str) -> dict[str, tuple[str, str]]:
    """Each service's container and its state: ``running``, ``paused``, ``exited`` and so on."""
    shape = f'{{{{.Label "{SERVICE_LABEL}"}}}} {{{{.ID}}}} {{{{.State}}}}'
    filters = ["--filter", f"label={PROJECT_LABEL}={project}"]
    lines = docker("ps", "--all", "--no-trunc", *filters, "--format", shape).splitlines()
    return {service: (container, state) for service, container, state in map(str.split, lines)}


def inspect(container: str) -> dict[str, Any]:
    """Everything the engine knows of a container."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", container))
    return found[0]
