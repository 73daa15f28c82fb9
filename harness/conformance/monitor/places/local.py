"""What the places on this machine have in common: a local remote behind its gates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from harness.faults.cut import Cut, Stall
from harness.faults.gate import Gate
from harness.remotes.services import LocalRemote

from .base import Folder, Place


def as_mapping(options: list[str]) -> dict[str, str]:
    """``["--type", "ftp", …]`` as a mapping, names without dashes."""
    return {name[2:]: value for name, value in zip(options[::2], options[1::2])}


class LocalPlace(Place):
    """A place over a ``LocalRemote``; ``kind`` is the monitor's type for it."""

    kind: Optional[str] = None

    def __init__(self, remote: LocalRemote) -> None:
        self._remote = remote
        self._gates: list[Gate] = []

    def start(self) -> None:
        try:
            self._remote.start()
            self._remote.ready()
            self._gates = [self._remote.gate(service) for service in self._remote.services]
        except BaseException:
            # Not every caller is a `with` statement, which would stop the remote.
            self._remote.stop()
            raise

    def stop(self) -> None:
        self._remote.stop()

    def folder(self, name: str) -> Folder:
        self._remote.path = f"/{name}"
        return self._make_folder(name, as_mapping(self._remote.monitor_options(self.kind)))

    @abstractmethod
    def _make_folder(self, name: str, options: Mapping[str, str]) -> Folder:
        """An empty folder of this name at the remote's top."""

    def down(self) -> None:
        for gate in self._gates:
            gate.close()

    def up(self) -> None:
        for gate in self._gates:
            gate.reset_held()
            gate.open()

    def cut_after(self, size: int) -> None:
        for gate in self._gates:
            gate.apply(Cut(after=size))

    def silent_after(self, size: int) -> None:
        for gate in self._gates:
            gate.apply(Stall(after=size))

    def spare_others(self) -> None:
        for gate in self._gates:
            gate.spare_others()

    def held(self) -> int:
        return sum(gate.stopped for gate in self._gates)

    def traffic(self) -> int:
        return sum(gate.traffic for gate in self._gates)

    def seek(self, data: bytes) -> None:
        for gate in self._gates:
            gate.seek(data)

    def found(self) -> bool:
        return any(gate.found for gate in self._gates)

    def go_on(self) -> None:
        for gate in self._gates:
            gate.open()

    @property
    def logs(self) -> list[Path]:
        return self._remote.logs
