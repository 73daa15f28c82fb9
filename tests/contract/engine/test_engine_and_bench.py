"""What the suite of facts cannot look at, and the bench's clients."""

from __future__ import annotations

import signal

import pytest

from bench.engine.loads import Row, load
from harness.conformance.serving.checks import PRICE, Subject

pytestmark = pytest.mark.xdist_group("shared server")


def test_the_engine_ends_with_0_after_sigint(subject: Subject) -> None:
    with subject.by_hand() as server:
        server.start()
        server.process.signal(signal.SIGINT)
        assert server.process.wait(20) == 0


# Names that are none, so that no resolver is asked.
@pytest.mark.parametrize("host", [".".join(["a" * 60] * 5), "a" * 64 + ".invalid"])
def test_a_host_without_an_address_ends_it_with_255_and_a_sentence(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    # Started before the variable is set.
    assert subject.server
    monkeypatch.setenv("ENGINE_HOST", host)
    with subject.by_hand() as server:
        assert server.run() == 255
        said = server.process.log.read_text()
        assert f"embedded-serving: cannot listen on {host}:" in said
        assert "an ENGINE_HOST that is an address of this machine" in said
        assert f"server.cpp:956] Fail to listen {host}:{server.port}" in server.log("ERROR")


@pytest.mark.parametrize("kind", ["http", "compiled", "grpc"])
def test_an_answer_with_another_price_counts_as_failed(subject: Subject, kind: str) -> None:
    row = Row("one client", kind, 1)
    right = load(row, subject.port, 0.2, [PRICE])
    assert right.latencies
    assert right.failed == 0, right.first_failure
    wrong = load(row, subject.port, 0.2, [PRICE + 1])
    assert wrong.failed == len(wrong.latencies)
