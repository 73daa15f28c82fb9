"""The base of all faults: a frozen value with documented parameters, which starts and stops.

    fault = make("cut", {"target": "datanode", "after": 5000})
    fault.require()                # BadInput if this machine cannot cause it
    fault.start(targets)           # the parts of a run that faults can break
    fault.stop()                   # the part works again

``harness.faults.registry`` has the list of all faults.
"""

from __future__ import annotations

import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Optional, Protocol, TypeVar

from harness.support.errors import BadInput

from .clock import Clock
from .disk import Disk
from .gate import Gate
from .relay import BOTH, DIRECTIONS, Lane


class Part(Protocol):
    """A live part of a run: a process, a remote or a server."""

    def stop(self) -> None:
        """End it in order."""

    def kill(self) -> None:
        """SIGKILL."""

    def pause(self) -> None:
        """SIGSTOP, or ``docker pause``."""

    def resume(self) -> None:
        """End a pause."""


@dataclass(frozen=True)
class Targets:
    """The parts of a run that faults can break.

    Attributes:
        parts: The live parts by name: ``monitor``, ``server``, ``producer``, ``remote``, and each
            service of the remote.
        gates: The gates by name: ``remote`` has the gates of all services; the name of a
            service has the gates of this service.
        goes_down: Called with a part's name before a fault ends the part, so that the run does
            not report a failure.
        restart: Starts the part with this name, and returns when the part is ready.
        disk: The disk with the monitor's folders, if the run gave the monitor such a disk.
        clocks: The clocks that the run gave to parts, by the name of the part.
        seed: Determines the random values of a fault.
    """

    parts: Mapping[str, Part]
    restart: Callable[[str], None]
    goes_down: Callable[[str], None] = lambda _: None
    gates: Mapping[str, Sequence[Gate]] = dataclasses.field(default_factory=dict)
    disk: Optional[Disk] = None
    clocks: Mapping[str, Clock] = dataclasses.field(default_factory=dict)
    seed: int = 0

    def part(self, name: str) -> Part:
        """Return a live part. Raises ``BadInput`` if the run has none of this name."""
        return _chosen("process", name, self.parts)

    def gates_of(self, name: str) -> Sequence[Gate]:
        """Return the gates before a part. Raises ``BadInput`` if it has none."""
        return _chosen("gate", name, self.gates)

    def clock_of(self, name: str) -> Clock:
        """Return the clock of a part. Raises ``BadInput`` if it has none of its own."""
        return _chosen("clock", name, self.clocks)


T = TypeVar("T")


def _chosen(what: str, name: str, offered: Mapping[str, T]) -> T:
    if name in offered:
        return offered[name]
    known = f"use one of {', '.join(sorted(offered))}" if offered else "use another scenario"
    hint = "; remotes in containers have none, so use ON=local" if what == "gate" else ""
    raise BadInput(f"a fault's target is {name!r}, but this run has no such {what}; {known}{hint}")


def parameter(
    default: Any, doc: str, *, choices: Iterable[str] = (), least: float = 0, most: float = 1e12
) -> Any:
    """Return a field of a fault's dataclass.

    Args:
        default: Its type is the parameter's type.
        doc: What it means, with the unit.
        choices: The values that a text may have; none: any.
        least: The least number.
        most: The largest number.
    """
    metadata = {"doc": doc, "choices": tuple(choices), "least": least, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Fault(ABC):
    """One fault of one part. ``start`` causes it and ``stop`` ends it; ``stop`` repeats safely.

    Attributes:
        name: The fault's name in a scenario.
        needs: What a run has to prepare for the target before it starts: ``gate``, ``disk`` or
            ``clock``.
        target: The part that the fault breaks.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    target: str
    # Ends what ``start`` caused.
    _undo: contextlib.ExitStack = dataclasses.field(
        default_factory=contextlib.ExitStack, init=False, repr=False, compare=False
    )

    def require(self) -> None:  # noqa: B027 (most faults need nothing)
        """Raise ``BadInput`` if this machine cannot cause the fault."""

    def start(self, targets: Targets) -> None:
        """Cause the fault.

        Raises:
            BadInput: The run has no such target.
        """
        self.stop()
        try:
            self._start(targets, self._undo.callback)
        except BaseException:
            self.stop()
            raise

    @abstractmethod
    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        """Cause the fault; ``at_end`` takes what ends it."""

    def stop(self) -> None:
        """End the fault. Safe to repeat."""
        self._undo.close()

    @property
    def parameters(self) -> dict[str, object]:
        """All parameters except the target, for the history."""
        names = [one.name for one in parameters(type(self))]
        return {name: getattr(self, name) for name in names if name != "target"}


def direction(default: str) -> Any:
    """Return the parameter ``direction`` of a network fault."""
    doc = f"which bytes the fault affects: {', '.join(f'`{one}`' for one in DIRECTIONS)}"
    return parameter(default, doc, choices=DIRECTIONS)


def parameters(fault: type[Fault]) -> list[dataclasses.Field[Any]]:
    """Return the fields that are a fault's parameters, in order."""
    return [one for one in dataclasses.fields(fault) if one.init]


@dataclass(frozen=True)
class NetworkFault(Fault):
    """A fault of the gate before a remote; the class says what the gate does to a connection."""

    needs: ClassVar[frozenset[str]] = frozenset({"gate"})
    target: str = parameter("remote", "`remote`, or the name of one of its services")
    # Classes that affect one direction only, or have it as a parameter, override it.
    direction: str = dataclasses.field(default=BOTH, init=False)

    @abstractmethod
    def transform(self, parts: AsyncIterator[bytes], lane: Lane) -> AsyncIterator[bytes]:
        """Yield what the gate passes on instead of ``parts``."""

    def _start(self, targets: Targets, at_end: Callable[..., object]) -> None:
        for gate in targets.gates_of(self.target):
            at_end(gate.remove, self)
            gate.add(self, targets.seed)
