"""What a server keeps over many reloads, while a client asks all the time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.conformance.serving import server
from harness.conformance.serving.checks import PRICE, PRICE_2
from harness.conformance.serving.steady_clients import SteadyClients
from harness.support import guard, waits
from harness.support.ports import is_listening
from harness.support.process import Process

MAX_GROWTH_KIB = 4096
# The engine, the fork server, and two model processes that take turns.
MAX_PROCESSES = 4
# Connections of clients that ask at one look and not at the other.
CLIENTS_DESCRIPTORS = 4
# A client that asks all the time moves the memory by so much.
NOISE_KIB = 256


class Resources(NamedTuple):
    """Figures of a server and all processes that it started.

    Memory is what no file stands behind. What the processes share is counted once (PSS). Pages of
    libraries are left out, because other servers on the machine have a share in them.
    """

    memory_kib: int
    descriptors: int
    threads: int
    processes: int


def resources(root: int) -> Resources:
    """Return what a process and its descendants have now. Raises ``OSError`` when one ends."""
    pids = [root, *guard.descendants(root)]
    memory = descriptors = threads = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                memory += int(line.split()[1])
        descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        threads += len(os.listdir(f"/proc/{pid}/task"))
    return Resources(memory, descriptors, threads, len(pids))


def settled(root: int) -> Resources:
    """Return the resources once two looks in a row have found the same."""
    seen: list[Resources] = []

    def still() -> bool:
        with contextlib.suppress(OSError):
            seen.append(resources(root))
            return (
                len(seen) > 1
                and seen[-2][2:] == seen[-1][2:]
                and abs(seen[-2].memory_kib - seen[-1].memory_kib) < NOISE_KIB
            )
        return False

    waits.wait_for(still, "processes, threads and memory to stay the same", 30, every_s=0.25)
    return seen[-1]


def kept(first: Resources, last: Resources) -> list[str]:
    """Return what a server has more of than before, a sentence each."""
    found = []
    if last.memory_kib - first.memory_kib > MAX_GROWTH_KIB:
        found.append(f"memory grew by {last.memory_kib - first.memory_kib} KiB")
    if last.descriptors - first.descriptors > CLIENTS_DESCRIPTORS:
        found.append(f"descriptors went from {first.descriptors} to {last.descriptors}")
    if last.threads > first.threads:
        found.append(f"threads went from {first.threads} to {last.threads}")
    if last.processes > MAX_PROCESSES:
        found.append(f"there are {last.processes} processes")
    return found


@contextlib.contextmanager
def without_ticks(binary: Path, model: Path) -> Iterator[tuple[server.Launched, int]]:
    """Run a server that looks at its time file all the time; give its process id as well.

    The launcher's shortest interval is a second. So the launcher only writes the server's files.
    """
    with server.Launched(binary, model) as launched:
        launched.process.stop()
        workdir = f"workdir_{launched.port}"
        words = [f"-{name}_path={workdir}" for name in ("resource", "workflow", "inferservice")]
        words += ["-inferservice_file=infer_service.prototxt", "-enable_model_toolkit"]
        words += ["-num_threads=4", "-reload_interval_s=0"]
        log = launched.folder / "serving.log"
        with Process("serving", [str(binary), *words], log=log, cwd=launched.folder) as process:
            waits.wait_for(
                lambda: is_listening(launched.port), "the server", 30, alive=process.check
            )
            yield launched, process.pids[0]


def over_reloads(binary: Path, reloads: int) -> list[str]:
    """Print a table as the reloads go by; return what is wrong, a sentence each."""
    models = [server.models() / name for name in ("uci_2", "uci")]
    columns = f"{'descriptors':>11} {'threads':>8} {'processes':>10} {'failed':>7}"
    print(f"\n{'reloads':>8} {'own KiB':>9} {columns}")
    seen: list[Resources] = []
    began = time.monotonic()
    with (
        without_ticks(binary, models[1]) as (launched, pid),
        SteadyClients(launched, 1) as asking,
    ):
        for number in range(1, reloads + 1):
            launched.reload(models[number % 2], deadline_s=30)
            if number % max(1, reloads // 10) == 0:
                seen.append(now := settled(pid))
                print(
                    f"{number:8d} {now.memory_kib:9d} {now.descriptors:11d} {now.threads:8d} "
                    f"{now.processes:10d} {len(asking.failures):7d}",
                    flush=True,
                )
    growth = seen[-1].memory_kib - seen[0].memory_kib
    print(f"grew by {growth} KiB; {len(asking.asked)} requests; {time.monotonic() - began:.0f} s")
    wrong = kept(seen[0], seen[-1])
    if asking.failures or not asking.prices <= {PRICE, PRICE_2}:
        wrong.append(f"a request failed: {asking.failures} or got a wrong price: {asking.prices}")
    return wrong
