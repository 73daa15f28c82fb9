"""What the likeness program cannot hold against the facts, and the bench's clients."""

from __future__ import annotations

import signal

import pytest

from bench.engine.__main__ import Row, load
from bench.likeness.by_hand import ByHand
from bench.likeness.checks import PRICE, Subject

pytestmark = pytest.mark.xdist_group("likeness")


def test_the_engine_ends_with_0_after_sigint(subject: Subject) -> None:
    with subject.folder() as folder, ByHand(subject.binary, subject.server, folder) as server:
        server.start()
        server.process.signal(signal.SIGINT)
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("kind", ["http", "compiled", "grpc"])
def test_an_answer_with_another_price_counts_as_failed(subject: Subject, kind: str) -> None:
    row = Row("one client", kind, 1)
    configuration = subject.client_configuration()
    right = load(row, subject.port, 0.2, configuration, [PRICE])
    assert right.latencies
    assert right.failed == 0, right.first_failure
    wrong = load(row, subject.port, 0.2, configuration, [PRICE + 1])
    assert wrong.failed == len(wrong.latencies)
