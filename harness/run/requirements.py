"""Whether a run has what its scenario needs. Checked before any part of the run starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.faults.base import Fault
from harness.remotes.existing import ExistingRemote
from harness.remotes.registry import RemoteType
from harness.support.errors import BadInput

from .leg_settings import LegSettings
from .steps import Cause, Publish, Restart, Rollback, Step

# What a server, its monitor and its clients take, measured with the embedded engine.
_SERVER_BYTES = 700_000_000


def require_servers(count: int) -> None:
    """Raise ``BadInput`` unless this machine can hold so many servers."""
    if count < 1:
        raise BadInput(f"--servers {count} is no number of servers; use 1 or more")
    free = _available_bytes()
    most = max(1, free // _SERVER_BYTES)
    if count > most:
        raise BadInput(
            f"--servers {count} needs {count * _SERVER_BYTES / 1e9:.1f} GB of memory and "
            f"{free / 1e9:.1f} GB are free; use at most {most}"
        )


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def require_parts(
    scenario: str,
    steps: Sequence[Step],
    leg: LegSettings,
    remotes: Sequence[RemoteType],
    *,
    releases_given: bool,
) -> None:
    """Raise ``BadInput`` if a step breaks or uses a part that this run does not have.

    Args:
        scenario: The name of the scenario.
        steps: Its steps.
        leg: The settings of each leg.
        remotes: The remotes of the run.
        releases_given: Whether the run publishes the releases of a folder.
    """
    faults = [step.made for step in steps if isinstance(step, Cause)]
    targets = [part for step in steps if isinstance(step, Restart) for part in step.parts]
    targets += [fault.target for fault in faults]
    damages = any(isinstance(step, Publish) and step.bad for step in steps)
    if damages and (leg.producer_cmd or releases_given):
        option = "--producer-cmd" if leg.producer_cmd else "--releases-from"
        raise BadInput(
            f"the scenario {scenario} damages releases of our producer; leave out {option}"
        )
    if any(isinstance(step, Rollback) for step in steps) and not leg.is_our_monitor:
        raise BadInput(
            f"the scenario {scenario} needs our monitor's command for a rollback; leave out "
            "--monitor-cmd"
        )
    for target in targets:
        _require_target(scenario, target, leg, remotes)
    if leg.server_runs:
        _require_no_disk(scenario, faults)


def _require_target(
    scenario: str, target: str, leg: LegSettings, remotes: Sequence[RemoteType]
) -> None:
    part, _, number = target.partition("-")
    if part in ("monitor", "server"):
        if number and not (number.isdecimal() and 2 <= int(number) <= leg.servers):
            raise BadInput(
                f"the scenario {scenario} breaks {target}, and this run has {leg.servers} "
                "server(s); add --servers"
            )
        if part == "server" and leg.server_runs:
            raise BadInput(
                f"the scenario {scenario} breaks the server, and --server names a server that "
                "the run must not break; choose another scenario or leave out --server"
            )
    elif target == "producer":
        if leg.producer_cmd:
            raise BadInput(
                f"the scenario {scenario} breaks the producer, and --producer-cmd runs only while "
                "it publishes a release; choose another scenario or leave out --producer-cmd"
            )
    else:
        for remote in remotes:
            _require_remote(scenario, target, remote)


def _require_remote(scenario: str, target: str, remote: RemoteType) -> None:
    if issubclass(remote.local, ExistingRemote):
        raise BadInput(
            f"the scenario {scenario} breaks the remote, and --remote names a remote that the run "
            "must not break; choose another scenario or leave out --remote"
        )
    known = ("remote", *remote.local.services)
    if target not in known:
        raise BadInput(
            f"the scenario {scenario} breaks {target}, which {remote.name} does not have; use "
            f"monitor, server, producer or {', '.join(known)}"
        )


def require_movable_monitor(leg: LegSettings, faults: Sequence[Fault]) -> None:
    """Raise ``BadInput`` if the monitor has to be a process of this machine."""
    if not leg.is_our_monitor:
        raise BadInput(
            "--monitor-on docker runs this project's monitor; leave out --monitor-cmd, or "
            "--monitor-on"
        )
    for fault in faults:
        if fault.target == "monitor" and fault.needs & {"disk", "clock"}:
            raise BadInput(
                f"the fault {fault.name} needs a monitor that is a process of this machine; leave "
                "out --monitor-on"
            )


def _require_no_disk(scenario: str, faults: Sequence[Fault]) -> None:
    """Raise ``BadInput`` for a fault of the monitor's disk: a running server does not see it."""
    for fault in faults:
        if "disk" in fault.needs:
            raise BadInput(
                f"the scenario {scenario} has the fault {fault.name}, for which the server must "
                "load from a disk of the run; choose another scenario or leave out --server"
            )
