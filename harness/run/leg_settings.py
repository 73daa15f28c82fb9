"""The settings of one leg: what is published, which parts run, and the bounds of the claims."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Optional

from harness.checker.growth import MEMORY_BOUND_BYTES

from .ready_releases import ReadyRelease

OUR_MONITOR = (sys.executable, "-m", "monitor")


@dataclass(frozen=True)
class LegSettings:
    """The settings of one leg. Times are seconds."""

    # How many releases are published, including bad releases.
    releases: int = 4
    # The releases to publish, if the producer makes none.
    ready: tuple[ReadyRelease, ...] = ()
    # Whether all releases are made before the first one is published.
    prepared: bool = False
    # Whether each release is published only after all clients got the release before.
    paced: bool = True
    # The claims to judge; None: all.
    claims: Optional[tuple[str, ...]] = None
    # How many MB the producer adds to the weights, so that loading takes long.
    table_mb: int = 0
    # The seed of the training.
    seed: int = 1
    # ``cpu`` or ``gpu``: where the producer trains and the server computes.
    device: str = "cpu"
    # The model's name; the tarball is NAME.tar.gz.
    name: str = "uci_housing"
    # The monitor's command.
    monitor: tuple[str, ...] = OUR_MONITOR
    # The image of the monitor's container; "": the monitor is a process of this machine.
    monitor_image: str = ""
    # Another monitor's command line (harness.conformance.monitor.command); "": this project's.
    monitor_cmd: str = ""
    # Another producer's command line (harness.run.producer_command); "": our producer.
    producer_cmd: str = ""
    # How many servers, each with its own monitor and clients, watch the remote.
    servers: int = 1
    # Whether the server runs already, with its own model.
    server_runs: bool = False
    # What the run cannot see (harness.checker.completeness.SIGHTS).
    unseen: tuple[str, ...] = ()
    # How many clients of each kind there are.
    clients: int = 1
    # The monitor's --keep: how many old releases stay for a rollback; 0: no such option.
    keep: int = 0
    # The monitor's --type; None: the usual one of the remote.
    monitor_kind: Optional[str] = None
    # The monitor's --interval.
    poll_s: float = 1.0
    # The server's reload interval.
    tick_s: int = 1
    # How long pull, swap and load may take on a busy machine, in addition to polls and ticks.
    margin_s: float = 30.0
    # How long one request may take.
    latency_bound_s: float = 10.0
    # The switch window: how long the server's threads may take to switch to a release.
    switch_window_s: float = 0.5
    # The relative tolerance when predictions are compared, because of float32 rounding.
    rtol: float = 1e-5
    # The width of a swap window (docs/history.md): latency in it is compared with the rest.
    latency_window_s: float = 0.5
    # How much the latency may rise in a swap window.
    latency_rise_bound_s: float = 0.005
    # How long a release serves before the next release, so that there are requests to compare.
    calm_s: float = 1.5
    # Requests a second that all clients of all servers together plan.
    rate: float = 200.0
    # How long the producer may take for one release.
    train_deadline_s: float = 120.0
    # How long a client may take from its start to its first request.
    client_start_s: float = 60.0
    # How long the load of a release may take when a newer release follows.
    load_bound_s: float = 10.0
    # How much the server's memory may grow at each reload.
    memory_bound_bytes: int = MEMORY_BOUND_BYTES
    # The share of a core that the monitor may use, without programs such as `hadoop fs`.
    monitor_cpu_bound: float = 0.1
    # How many bytes the remote may send for each poll of the donefile.
    poll_bound_bytes: int = 4096

    @property
    def model(self) -> str:
        """Return the live directory's name."""
        return self.ready[0].model.name if self.ready else f"{self.name}_model"

    @property
    def is_our_monitor(self) -> bool:
        """Return whether the monitor has our monitor's own options and commands."""
        return not self.monitor_cmd and self.monitor == OUR_MONITOR

    @property
    def unpacked_filename(self) -> str:
        """Return the monitor's ``--unpacked_filename``."""
        return self.ready[0].top if self.ready else self.model

    @property
    def bound_s(self) -> float:
        """Return the seconds from the end of a release's publishing until it must be served.

        It has two polls, because the monitor reads the donefile before and after its pull.
        """
        return 2 * self.poll_s + 2 * self.tick_s + self.margin_s
