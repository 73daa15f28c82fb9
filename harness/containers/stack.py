"""One Compose project of a run: starts its services, breaks them on purpose, and removes them.

Every ``Stack`` has a project name of its own, so that two runs never share a project. Its sweeper
(``sweep.py``) removes the project if the harness dies before it can.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from harness.support.errors import BadInput, Failed
from harness.support.waits import tail, wait_for

from . import alive, compose, engine, sweep
from .lifeline import Lifeline

#: The user who owns the services' files if root runs the harness. Most machines have no such user.
SERVICE_UID = 10001
_UP_DEADLINE_S = 120.0
_DOWN_DEADLINE_S = 60.0
#: Where our images say which packages, jars and wheels they hold.
_CONTENTS = "/usr/share/hot-loading"


class Stack:
    """Services of ``docker/compose.yaml`` as one project.

    ``folder`` holds the data folders (``data``: those a service writes to, made here), the
    settings and the logs; ``variables`` fill the compose file's ``${…}``. ``profile`` names a
    Compose profile that the services belong to. ``files`` are Compose files, later ones on top.
    ``stop_grace_s`` lies between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        folder: Path,
        services: Sequence[str],
        variables: Mapping[str, str],
        *,
        data: Sequence[str] = (),
        profile: Optional[str] = None,
        files: Sequence[Path] = (),
        stop_grace_s: int = 5,
    ) -> None:
        self.folder = folder.absolute()
        self.services = tuple(services)
        self.project = engine.PROJECT_PREFIX + secrets.token_hex(5)
        self._variables = dict(variables)
        self._data = tuple(data)
        self._profile = profile
        self._files = tuple(files) or (compose.compose_file(),)
        self._stop_grace_s = stop_grace_s
        self._lifeline: Optional[Lifeline] = None
        self._life = 0
        self._log_files: list[Path] = []
        # Services that were stopped or killed by us and not started since.
        self._broken: set[str] = set()
        self._next_look = 0.0

    # -- up and down ---------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether ``up`` was called after the last ``down``."""
        return self._lifeline is not None

    def up(self) -> None:
        """Creates and starts all services; returns without waiting for them to be ready.

        Raises ``BadInput`` for a missing engine and ``Failed`` with the engine's words.
        """
        if self.is_up:
            raise Failed(f"the containers of {', '.join(self.services)} are up already")
        engine.require()
        compose.command()
        self._prepare_folder()
        self._life += 1
        self._broken.clear()
        self._lifeline = Lifeline(self.project, self.folder / "logs", self._life)
        try:
            alive.hold(self.project)
            self.compose("up", "--detach", *self.services, deadline_s=_UP_DEADLINE_S)
            self._note_images()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stops and removes containers, networks and volumes, keeps the logs. Safe to repeat."""
        if not self.is_up:
            return
        clean = False
        try:
            with contextlib.suppress(Failed):
                # A paused container cannot be stopped.
                self._each(None, self._unpause)
                self.compose("stop", "--timeout", str(self._stop_grace_s), deadline_s=60)
            # A full disk must not leave the containers standing.
            with contextlib.suppress(OSError):
                self.keep_logs()
            with contextlib.suppress(Failed):
                self.compose("down", "--volumes", "--timeout", "1", deadline_s=_DOWN_DEADLINE_S)
            # Compose does not remove everything, for example a network that a fault disconnected.
            sweep.remove(engine.client(), self.project)
            # The sweeper has nothing to do only if a second removal finds nothing.
            clean = not sweep.remove(engine.client(), self.project)
        finally:
            line, self._lifeline = self._lifeline, None
            if line is not None:
                line.let_go(done=clean)
            alive.let_go(self.project)

    def compose(self, *arguments: str, deadline_s: float = 60.0) -> str:
        """Runs a Compose command on this project."""
        # Compose prefers the environment to --env-file, but a user's own HTTP_PORT must not count.
        users = set().union(*map(compose.variables, self._files))
        words = [*self.compose_words(), *arguments]
        return engine.command(words, deadline_s, environment=self.variables, without=users)

    def compose_words(self) -> list[str]:
        """The Compose command with this project's name, settings and files."""
        words = [*compose.command(), "--project-name", self.project]
        words += ["--env-file", str(self.settings_file)]
        for file in self._files:
            words += ["--file", str(file)]
        if self._profile is not None:
            words += ["--profile", self._profile]
        return words

    @property
    def settings_file(self) -> Path:
        """The file of variables that Compose reads. Only its owner can read its password."""
        return self.folder / "compose.env"

    def write_settings(self) -> None:
        """Writes ``settings_file``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{key}={value}\n" for key, value in sorted(self.variables.items()))
        with os.fdopen(
            os.open(self.settings_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
        ) as file:
            file.write(text)

    def set(self, variable: str, value: str) -> None:
        """Changes a variable; it counts from the next ``up`` on."""
        self._variables[variable] = value

    @property
    def variables(self) -> dict[str, str]:
        """What fills the ``${…}``: those given, the folder, and who the services run as."""
        uid, gid = self._owner()
        if uid == os.getuid() and uid != 0 and engine.rootless():
            uid = gid = 0  # a rootless engine's root is the user
        return {
            # For a person who looks at the project: `docker compose --env-file compose.env ps`.
            "COMPOSE_PROJECT_NAME": self.project,
            "RUN_FOLDER": str(self.folder),
            "RUN_AS": f"{uid}:{gid}",
            **self._variables,
        }

    def _owner(self) -> tuple[int, int]:
        """The user and group that own the data on the host."""
        return (os.getuid(), os.getgid()) if os.getuid() else (SERVICE_UID, SERVICE_UID)

    def _prepare_folder(self) -> None:
        if any(character in str(self.folder) for character in ":$\"'\n#\\"):
            raise BadInput(
                f"{self.folder} cannot be shared with a container: Compose gives ':', '$', '#' and "
                "quotes in a path a meaning of their own; use another folder"
            )
        self.write_settings()
        uid, gid = self._owner()
        for name in self._data:
            path = self.folder / name
            path.mkdir(exist_ok=True)
            if os.getuid() == 0:
                os.chown(path, uid, gid)
        # Java looks for its user's name in the password file, and does not start without one.
        (self.folder / "passwd").write_text(
            f"root:x:0:0:root:/:/bin/sh\nservice:x:{uid}:{gid}::/data:/bin/false\n"
        )
        (self.folder / "passwd").chmod(0o644)

    def _note_images(self) -> None:
        """Writes into ``images/SERVICE/`` which image a service runs and what lies in it."""
        for service in self.services:
            folder = self.folder / "images" / service
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for container in self._containers(service):
                seen = engine.inspect(container)
                name = f"{seen['Config']['Image']}\n{seen['Image']}\n"
                (folder / "image.txt").write_text(name)
                # The vendor's image has no such folder.
                source = f"{container}:{_CONTENTS}/."
                engine.docker("cp", source, str(folder), check=False)

    # -- faults --------------------------------------------------------------------------------

    def start(self, service: str) -> None:
        """Starts a stopped or killed service again, on the network."""
        self._broken.discard(service)
        self._each(service, self._connect)
        self._each(service, lambda name, _: engine.docker("start", name))

    def stop(self, service: Optional[str] = None) -> None:
        """SIGTERM to a service (all without one), SIGKILL after a grace."""
        self._broken.update(self.services if service is None else (service,))
        self._each(service, self._unpause)
        grace = ("--time", str(self._stop_grace_s))
        self._each(service, lambda name, _: engine.docker("stop", *grace, name))

    def kill(self, service: Optional[str] = None) -> None:
        """SIGKILL to a service (all without one); nothing happens to one that does not run."""
        self._broken.update(self.services if service is None else (service,))
        self._each(service, self._unpause)
        self._each(service, self._kill)

    def pause(self, service: Optional[str] = None) -> None:
        """Freezes a service (all without one): its ports stay open, nothing answers."""
        self._each(service, self._pause)

    def resume(self, service: Optional[str] = None) -> None:
        """Ends a pause or a disconnection."""
        self._each(service, self._unpause)
        self._each(service, self._connect)

    def disconnect(self, service: Optional[str] = None) -> None:
        """Takes a service off its network: its ports are no longer published, it lives on."""
        self._each(service, self._disconnect)

    def identity(self, service: str) -> Optional[str]:
        """What changes when a service was restarted; None when it does not run."""
        for container in self._containers(service):
            state = engine.inspect(container)["State"]
            if state["Running"]:
                return f"{state['Pid']}@{state['StartedAt']}"
        return None

    def check(self) -> None:
        """Raises ``Failed`` with the end of the log when a service has ended by itself.

        Looks at most once a second: callers in a wait call this often, and a look takes 30 ms.
        """
        if time.monotonic() >= self._next_look:
            self._look([name for name in self.services if name not in self._broken])
            self._next_look = time.monotonic() + 1

    def _look(self, services: Sequence[str]) -> None:
        states = engine.states(self.project)
        for service in services:
            if service not in states:
                raise Failed(
                    f"the container of {service} is gone: another program has removed it "
                    "(`docker system prune`?), or the engine was restarted; start the run again"
                )
            container, state = states[service]
            if state in ("running", "paused"):
                continue
            self.keep_logs()
            log = self._log(service)
            code = engine.inspect(container)["State"]["ExitCode"]
            raise Failed(
                f"the container of {service} ended with exit code {code}"
                f"\n--- last lines of {log}\n{tail(log)}"
            )

    def wait_ready(self, works: Callable[[], bool], what: str, deadline_s: float) -> None:
        """Waits until ``works()`` is true; any of its exceptions counts as not yet.

        Fails at once when a container is gone, and with the last log lines when time runs out.
        """
        if not self.is_up:
            raise Failed(f"{what} cannot be ready: its containers were never started")

        def running() -> None:
            self._look(self.services)

        try:
            wait_for(works, what, deadline_s, every_s=0.2, retry_on=(Exception,), alive=running)
        except Failed as error:
            self.keep_logs()
            tails = [f"--- last lines of {log}\n{tail(log, 8)}" for log in self.logs[-3:]]
            raise Failed("\n".join([str(error), *tails])) from None

    # -- logs ----------------------------------------------------------------------------------

    def keep_logs(self) -> None:
        """Writes all that the containers have said so far into ``logs/``."""
        if self.is_up:
            sweep.keep_logs(engine.client(), self.project, str(self.folder / "logs"), self._life)
            for service in self.services:
                if self._log(service).exists() and self._log(service) not in self._log_files:
                    self._log_files.append(self._log(service))

    def _log(self, service: str) -> Path:
        return self.folder / "logs" / sweep.log_name(service, self._life)

    @property
    def logs(self) -> list[Path]:
        """The log files, brought up to date."""
        with contextlib.suppress(Failed, BadInput):
            self.keep_logs()
        return list(self._log_files)

    # -- one container -------------------------------------------------------------------------

    def _containers(self, service: Optional[str]) -> list[str]:
        return engine.containers(self.project, service)

    def _each(self, service: Optional[str], act: Callable[[str, dict[str, Any]], object]) -> None:
        if service is not None and service not in self.services:
            raise BadInput(f"{service} is no service; use {', '.join(self.services)}")
        for name in self.services if service is None else (service,):
            found = self._containers(name)
            if not found and service is not None:
                raise Failed(f"{name} has no container: it was never started")
            for container in found:
                act(container, engine.inspect(container))

    @property
    def _network(self) -> str:
        return f"{self.project}_default"

    @staticmethod
    def _kill(container: str, seen: dict[str, Any]) -> None:
        if seen["State"]["Running"]:
            engine.docker("kill", "--signal", "KILL", container)
            wait_for(
                lambda: not engine.inspect(container)["State"]["Running"],
                "a container to be gone after SIGKILL",
                20,
            )

    @staticmethod
    def _pause(container: str, seen: dict[str, Any]) -> None:
        if seen["State"]["Running"] and not seen["State"]["Paused"]:
            engine.docker("pause", container)

    @staticmethod
    def _unpause(container: str, seen: dict[str, Any]) -> None:
        if seen["State"]["Paused"]:
            engine.docker("unpause", container)

    def _disconnect(self, container: str, seen: dict[str, Any]) -> None:
        if self._network in seen["NetworkSettings"]["Networks"]:
            engine.docker("network", "disconnect", self._network, container)

    def _connect(self, container: str, seen: dict[str, Any]) -> None:
        connected = seen["NetworkSettings"]["Networks"]
        if self._network not in connected and "host" not in connected:
            service = seen["Config"]["Labels"][engine.SERVICE_LABEL]
            engine.docker("network", "connect", "--alias", service, self._network, container)
