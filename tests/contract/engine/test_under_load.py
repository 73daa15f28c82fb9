"""Many clients, slow clients, many reloads: no client waits because of another one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.engine import http_load
from harness.conformance.serving.check_reload_load import reload_in_turns, turns
from harness.conformance.serving.checks import JSON_BODY, Subject
from harness.support import guard, waits

pytestmark = pytest.mark.xdist_group("shared server")
MAX_GROWTH_KIB = 4096
# The engine, the fork server, and two model processes that take turns.
MAX_PROCESSES = 4
# Connections of clients that ask at one look and not at the other.
CLIENTS_DESCRIPTORS = 4
# A client that asks all the time moves the memory by so much.
NOISE_KIB = 256


class Resources(NamedTuple):
    """Figures of a server and all processes that it started.

    Memory counts only pages without a file. Pages that the processes share count once (PSS). Pages
    of libraries are left out, because other servers on the machine share them.
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


def test_64_clients_at_work_lose_no_request(subject: Subject) -> None:
    request = http_load.request_bytes("127.0.0.1", JSON_BODY)
    loaded = http_load.run(
        ("127.0.0.1", subject.port),
        request,
        connections=64,
        seconds=1.0,
        expected=[b'"float_data":[92.0]'],
    )
    assert loaded.failed == 0, loaded.first_failure
    assert len(loaded.latencies) > 64


def given_back(before: Resources, pid: int) -> None:
    """Wait until the server has given back all that the reloads took.

    The engine drops the last model at low priority, on a busy machine some seconds after the
    reload.
    """
    found: list[str] = []

    def nothing_kept() -> bool:
        found[:] = kept(before, settled(pid))
        return not found

    waits.wait_for(nothing_kept, "what reloads took to be given back", 30, last_seen=found.copy)


def test_reloads_lose_no_request_and_keep_no_memory(subject: Subject) -> None:
    with subject.launch() as server:
        # Reload until two processes have held a model each.
        assert reload_in_turns(server, turns(subject), 4) == []
        before = settled(server.pid)
        assert reload_in_turns(server, turns(subject), 4) == []
        given_back(before, server.pid)


@pytest.mark.proof
@pytest.mark.timeout(1500)
def test_memory_is_flat_over_many_reloads(subject: Subject) -> None:
    with subject.launch() as server:
        assert reload_in_turns(server, turns(subject), 20) == []
        before = settled(server.pid)
        assert reload_in_turns(server, turns(subject), 400) == []
        given_back(before, server.pid)
