"""Many clients, slow clients, many reloads: no client waits because of another one."""

from __future__ import annotations

import pytest

from bench.engine import http_load
from bench.engine.memory import Resources, kept, settled
from harness.conformance.serving.check_reload_load import reload_in_turns, turns
from harness.conformance.serving.checks import JSON_BODY, Subject
from harness.support import waits

pytestmark = pytest.mark.xdist_group("shared server")


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
    """Waits until nothing is left of what the reloads took; what is kept stays for ever.

    The last model is dropped at low priority, on a busy machine some seconds after its reload.
    """
    found: list[str] = []

    def nothing_kept() -> bool:
        found[:] = kept(before, settled(pid))
        return not found

    waits.wait_for(nothing_kept, "what reloads took to be given back", 30, last_seen=found.copy)


def test_reloads_lose_no_request_and_keep_no_memory(subject: Subject) -> None:
    with subject.launch() as server:
        # Until two processes have held a model each.
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
