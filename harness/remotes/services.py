"""What all remotes on this machine have in common: services behind gates.

A service is a guarded process that binds 127.0.0.2 and a gate on 127.0.0.1 with the same ports.
Faults kill, stop and pause the process. A disconnection closes the gate.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Optional

from harness.faults.gate import Gate
from harness.support.errors import BadInput, Failed
from harness.support.process import Process
from harness.support.waits import tail, wait_for

from .base import NotReady, Remote


class Service:
    """A part of a remote that can be broken by itself."""

    def __init__(self, process: Process, gate: Gate) -> None:
        self.process = process
        self.gate = gate

    def stop(self) -> None:
        """Ends the process in order; it is gone, with its ports, when this returns."""
        pids = self.process.pids
        self.process.stop()
        self._gone(pids)

    def kill(self) -> None:
        """SIGKILL; the process is gone, with its ports, when this returns."""
        pids = self.process.pids
        self.process.kill()
        self._gone(pids)

    def _gone(self, pids: list[int]) -> None:
        # The first thread of a JVM can be dead (a zombie) while other threads still hold its ports.
        # The pid vanishes with the last thread.
        wait_for(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids),
            f"{self.process.name} (pids {pids}) to vanish",
            10,
            every_s=0.005,
        )


class LocalRemote(Remote):
    """A remote made of local processes."""

    def __init__(self, folder: Path, *, path: str = "/", mark: str = "") -> None:
        super().__init__(folder.resolve(), path=path, mark=mark)
        self._parts: dict[str, Service] = {}

    @abstractmethod
    def _make(self) -> dict[str, Service]:
        """Prepares folders and ports and gives the services; nothing is started yet."""

    def _stop_service(self, name: str, part: Service) -> None:
        part.stop()

    def gate(self, service: Optional[str] = None) -> Gate:
        """The gate of a service (of the first one without a name), for further faults."""
        return self._chosen(service or self.services[0])[0][1].gate

    def start(self, service: Optional[str] = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._parts:
            self._parts = self._make()
        try:
            for _, part in self._chosen(service):
                part.gate.open()
                if not part.process.running:
                    part.process.start()
        except BaseException:
            # Stop the services that run: the context manager is not entered yet, so no exit will.
            self.stop(service)
            raise

    def ready(self, deadline_s: float = 60.0) -> None:
        running = [part.process for _, part in self._chosen(None)]

        def alive() -> None:
            for process in running:
                process.check()

        def works() -> bool:
            self.probe()
            return True

        try:
            wait_for(
                works,
                f"{self.name} to take, give back and remove a file",
                deadline_s,
                every_s=0.1,
                retry_on=(NotReady,),
                alive=alive,
            )
        except Failed as error:
            logs = [f"\n--- last lines of {log}\n{tail(log)}" for log in self.logs]
            raise Failed(str(error) + "".join(logs)) from None

    def check(self) -> None:
        for part in self._parts.values():
            # A service that was stopped or killed on purpose has its gate closed.
            if part.gate.is_open:
                part.process.check()

    def stop(self, service: Optional[str] = None) -> None:
        if not self._parts:
            return
        for name, part in reversed(self._chosen(service)):
            part.gate.close()
            self._stop_service(name, part)

    def kill(self, service: Optional[str] = None) -> None:
        for _, part in self._chosen(service):
            # A port without a process refuses connections; the gate must not accept in its stead.
            part.gate.close()
            part.kill()

    def pause(self, service: Optional[str] = None) -> None:
        for _, part in self._chosen(service):
            part.process.pause()

    def resume(self, service: Optional[str] = None) -> None:
        for _, part in self._chosen(service):
            part.process.resume()
            if part.process.running:
                part.gate.open()

    def disconnect(self, service: Optional[str] = None) -> None:
        for _, part in self._chosen(service):
            part.gate.close()

    @property
    def logs(self) -> list[Path]:
        return [part.process.log for part in self._parts.values()]

    @property
    def bytes_sent(self) -> Optional[int]:
        return sum(part.gate.traffic for part in self._parts.values())

    @property
    def pids(self) -> list[int]:
        """Process ids of everything that runs for this remote."""
        return [pid for part in self._parts.values() for pid in part.process.pids]

    def _chosen(self, service: Optional[str]) -> list[tuple[str, Service]]:
        if service is not None and service not in self.services:
            raise BadInput(
                f"{self.name} has no service {service!r}; use one of {', '.join(self.services)}"
            )
        if not self._parts:
            raise Failed(f"{self.name} was never started")
        return [(name, self._parts[name]) for name in self.services if service in (None, name)]
