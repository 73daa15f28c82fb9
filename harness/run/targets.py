"""The parts of a leg that faults can break, and the events of faults in the history."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from harness.faults.base import Fault, Part, Targets
from harness.remotes.base import Remote
from harness.remotes.services import LocalRemote

from .leg import Leg


class _Service:
    """One service of a remote as a part."""

    def __init__(self, remote: Remote, name: str) -> None:
        self._remote = remote
        self._name = name

    def stop(self) -> None:
        self._remote.stop(self._name)

    def kill(self) -> None:
        self._remote.kill(self._name)

    def pause(self) -> None:
        self._remote.pause(self._name)

    def resume(self) -> None:
        self._remote.resume(self._name)


def targets(leg: Leg) -> Targets:
    """Return the parts of a started leg that faults can break."""
    remote = leg.remote
    parts: dict[str, Part] = {name: _Service(remote, name) for name in remote.services}
    parts["remote"] = remote
    if leg.publisher.process is not None:
        parts["producer"] = leg.publisher.process
    for side in leg.sides:
        parts["monitor" + side.suffix] = side.monitor
        parts["server" + side.suffix] = side.serving
    gates = {}
    if isinstance(remote, LocalRemote):
        gates = {name: [remote.gate(name)] for name in remote.services}
        gates["remote"] = [gate for found in gates.values() for gate in found]
    return Targets(
        parts=parts,
        restart=leg.restart,
        goes_down=leg.goes_down,
        gates=gates,
        disk=leg.equipment.disk,
        clocks=leg.equipment.clocks,
        seed=leg.settings.seed,
    )


@contextlib.contextmanager
def caused(fault: Fault, leg: Leg) -> Iterator[None]:
    """Cause a fault of a leg until the context ends, and record it.

    The history gets a ``fault``. It gets an ``outage`` too, unless only the producer was hit. Only
    an outage of the server excuses requests.

    Raises:
        BadInput: The leg has no such target.
    """
    leg.say(f"{leg.remote.name}: fault {fault.name} of {fault.target} begins")
    since = time.monotonic()
    # Recorded now, because the run may be killed before the outage ends.
    if fault.target != "producer":
        leg.history.record("outage_begins", **_outage(fault, leg, since))
    try:
        fault.start(targets(leg))
        yield
    finally:
        try:
            fault.stop()
        finally:
            _record(fault, leg, since, time.monotonic())
        leg.say(f"{leg.remote.name}: fault {fault.name} of {fault.target} is over")


def _record(fault: Fault, leg: Leg, since: float, until: float) -> None:
    leg.history.record(
        "fault",
        remote=leg.remote.name,
        fault=fault.name,
        target=fault.target,
        parameters=fault.parameters,
        since=since,
        until=until,
    )
    if fault.target != "producer":
        leg.history.record("outage", **_outage(fault, leg, since), until=until)
        # The checker extends the deadline of a release by the outage, so the leg waits longer too.
        _, side = leg.part_of(fault.target)
        for each in leg.sides if side is None else [side]:
            each.outage_until = until


def _outage(fault: Fault, leg: Leg, since: float) -> dict[str, Any]:
    """Return the fields of the outage that a fault causes, without its end."""
    part, side = leg.part_of(fault.target)
    return {
        "remote": leg.remote.name,
        **({} if side is None else side.label),
        "since": since,
        "why": f"the fault {fault.name} of {fault.target}",
        "requests": part == "server",
    }
